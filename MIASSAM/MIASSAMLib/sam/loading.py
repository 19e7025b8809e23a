"""Load a model by name: find its file, check its digest, build it, make it fast, put it on the device."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import CheckpointError, UsageError
from ..files import sha256_of_file
from .device import RunOptions, choose_device
from .registry import ModelEntry, checkpoint_path, downloadable, find_model
from .state_dict import StateDict, check_fits, deduce_architecture, read_state_dict

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
_PACKAGE = "segment_anything"


def load_model_now(name: str, checkpoint: Path | None, device: str, options: RunOptions | None) -> Any:
    """See `sam.load_model`."""
    entry = find_model(name)
    if not entry.architecture and checkpoint is None:
        raise UsageError(f"model {name!r} reads the architecture from a file; give one with --checkpoint")
    prepare_segment_anything()
    from .acceleration import accelerate

    model = (_load_embedded if entry.is_shipped else _load_checkpoint)(entry, checkpoint, device)
    accelerate(model, options or RunOptions())
    return model


def _load_embedded(entry: ModelEntry, checkpoint: Path | None, device: str) -> Any:
    from .embedded import WEIGHTS_PATH, load_embedded
    from .models import EmbeddedModel

    digest = sha256_of_file(checkpoint) if checkpoint and checkpoint.is_file() else entry.sha256
    if checkpoint is None and sha256_of_file(WEIGHTS_PATH) != digest:
        raise CheckpointError(f"{WEIGHTS_PATH} is damaged: its SHA-256 is not {digest[:12]}...; install again")
    return EmbeddedModel(load_embedded(checkpoint), entry.name, digest, choose_device(device))


def _load_checkpoint(entry: ModelEntry, checkpoint: Path | None, device: str) -> Any:
    from .models import CheckpointModel

    path = Path(checkpoint) if checkpoint is not None else _cached_path(entry)
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} is not there; give the path of a SAM-format state dict")
    digest = sha256_of_file(path)
    check_published_digest(path, digest)
    state = read_state_dict(path)
    architecture = entry.architecture or deduce_architecture(state, path.name)
    sam = build_sam(state, architecture, path)
    name = entry.name if entry.architecture else architecture
    model = CheckpointModel(sam, name, digest, choose_device(device))
    model.takes_unit_range = entry.takes_unit_range
    return model


def _cached_path(entry: ModelEntry) -> Path:
    path = checkpoint_path(entry)
    if path.is_file():
        return path
    missing = f"model {entry.name} is not on this machine (looked for {path})"
    if entry.is_downloadable:
        raise CheckpointError(
            f"{missing}; run `miassam models fetch {entry.name}` ({entry.about}) or give its file with --checkpoint"
        )
    raise CheckpointError(f"{missing}; get its file from {entry.url} and give it with --checkpoint")


def check_published_digest(path: Path, digest: str) -> None:
    """Refuse a file that bears a published checkpoint's name but not its SHA-256."""
    for entry in downloadable():
        if path.name == entry.file_name and digest != entry.sha256:
            raise CheckpointError(
                f"{path} has SHA-256 {digest[:12]}..., but the published file has {entry.sha256[:12]}...; "
                f"it is cut short or altered: run `miassam models fetch {entry.name}`, "
                "or rename the file if these are your own weights"
            )


def empty_sam(architecture: str) -> Any:
    """Return segment-anything's Sam of an architecture, its weights without storage ("meta")."""
    import torch
    from segment_anything.build_sam import sam_model_registry

    with torch.device("meta"):
        if architecture != "vit_t":
            return sam_model_registry[architecture]()
        from .tiny_vit import TinyVitEncoder

        sam = sam_model_registry["vit_b"]()
        sam.image_encoder = TinyVitEncoder()
        return sam


def build_sam(state: StateDict, architecture: str, path: Path) -> Any:
    """Return a float32 Sam in evaluation mode holding the weights of a state dict.

    Args:
        state: tensors by name.
        architecture: "vit_t", "vit_b", "vit_l" or "vit_h".
        path: file of the state dict, for messages.

    Raises:
        CheckpointError: a key is missing, left over, or of another shape.
    """
    import torch

    sam = empty_sam(architecture)
    check_fits(state, sam.state_dict(), f"{path.name} does not fit {architecture}")
    floats = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in state.items()}
    sam.load_state_dict(floats, assign=True)
    sam.pixel_mean = torch.tensor(PIXEL_MEAN).view(-1, 1, 1)
    sam.pixel_std = torch.tensor(PIXEL_STD).view(-1, 1, 1)
    return sam.eval().requires_grad_(False)


def prepare_segment_anything() -> None:
    """Make `segment_anything.modeling` and `.build_sam` importable at little cost; harmless when done already.

    The package's `__init__` loads its automatic mask generator and with it torchvision: more than a
    second of every start. Whoever asks the package for anything else later gets it: `__init__` runs then.
    """
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        return
    package = importlib.util.module_from_spec(spec)
    package.__getattr__ = lambda name: _run_and_get(package, spec, name)  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package


def _run_and_get(package: ModuleType, spec: ModuleSpec, name: str) -> Any:
    """Run the package's own `__init__`, once, and return one of its names."""
    if name.startswith("__") or spec.loader is None:
        raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
    vars(package).pop("__getattr__", None)
    spec.loader.exec_module(package)
    return getattr(package, name)
