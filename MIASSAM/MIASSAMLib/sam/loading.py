"""Load a model by name: find its file, check its digest, build it, put it on the device."""

from __future__ import annotations

from pathlib import Path

from ..errors import CheckpointError, UsageError
from ..files import sha256_of_file
from ..protocols import SamModel
from .acceleration import accelerate
from .building import build_sam
from .device import choose_device
from .options import RunOptions
from .registry import MODEL_NAMES, REGISTRY, cached_checkpoint_path
from .sam_model import SamCheckpointModel
from .state_dict import read_state_dict


def load_model_now(name: str, checkpoint: Path | None, device: str, options: RunOptions | None) -> SamModel:
    """See `sam.load_model`."""
    if name not in (*MODEL_NAMES, "auto"):
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODEL_NAMES)}")
    if name == "auto" and checkpoint is None:
        raise UsageError("model 'auto' reads the architecture from a file; give one with --checkpoint")
    options = options or RunOptions()
    if name == "embedded":
        from .embedded_model import load_embedded_model

        return load_embedded_model(checkpoint, choose_device(device), options)
    return _load_sam(name, checkpoint, device, options)


def _load_sam(name: str, checkpoint: Path | None, device: str, options: RunOptions) -> SamModel:
    path = Path(checkpoint) if checkpoint is not None else _fetched_path(name)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} is not there; give the path of a SAM-format state dict")
    digest = sha256_of_file(path)
    check_published_digest(path, digest)
    sam = build_sam(read_state_dict(path), name, path)
    model = SamCheckpointModel(sam, sam.architecture, digest, choose_device(device), options.accelerate)
    accelerate(model, options)
    return model


def _fetched_path(name: str) -> Path:
    path = cached_checkpoint_path(REGISTRY[name])
    if not path.is_file():
        raise CheckpointError(
            f"model {name} is not on this machine (looked for {path}); run `miassam models fetch {name}` "
            f"({REGISTRY[name].about_mb} MB) or give its file with --checkpoint"
        )
    return path


def check_published_digest(path: Path, digest: str) -> None:
    """Refuse a file that bears a published checkpoint's name but not its SHA-256."""
    for entry in REGISTRY.values():
        if path.name == entry.file_name and digest != entry.sha256:
            raise CheckpointError(
                f"{path} has SHA-256 {digest[:12]}..., but the published file has {entry.sha256[:12]}...; "
                f"it is cut short or altered: run `miassam models fetch {entry.name}`, "
                "or rename the file if these are your own weights"
            )
