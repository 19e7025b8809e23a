"""Read a SAM-format state dict safely and tell which architecture it is of."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError

WIDTH_TO_ARCHITECTURE = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_WIDTH_KEY = "image_encoder.patch_embed.proj.weight"
_WRAPPERS = ("model", "state_dict", "model_state_dict")
_PREFIXES = ("module.", "sam.", "model.")
_SHOWN_KEYS = 3

StateDict = dict[str, torch.Tensor]

UnsafeFileError: type[Exception] = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]
"""What torch raises with weights_only for a file that holds more than tensors."""


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict without running any code from the file (weights_only).

    Wrappers ({"model": ...}) and prefixes ("module.") that training scripts leave are removed.

    Raises:
        CheckpointError: the file is missing, damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise CheckpointError(f"checkpoint {path} is not there; fetch it with `miassam models fetch` or give its path")
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except UnsafeFileError as error:
        raise CheckpointError(
            f"checkpoint {path.name} holds more than tensors and was not opened, since it could run code; "
            "save only the state dict: torch.save(model.state_dict(), path)"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise CheckpointError(
            f"checkpoint {path.name} ({path.stat().st_size} bytes) is damaged or not a PyTorch file; "
            "copy or fetch it again"
        ) from error
    return _strip_prefix(_unwrap(loaded, path.name))


def deduce_architecture(state: Mapping[str, torch.Tensor], file_name: str) -> str:
    """Return "vit_b", "vit_l" or "vit_h" from the width of the patch embedding."""
    if _WIDTH_KEY not in state:
        raise CheckpointError(
            f"{file_name} is no SAM checkpoint: it lacks {_WIDTH_KEY!r} (found {_some(state)}); "
            "give a SAM-format state dict"
        )
    width = int(state[_WIDTH_KEY].shape[0])
    if width not in WIDTH_TO_ARCHITECTURE:
        raise CheckpointError(
            f"{file_name} has patch embeddings {width} wide, but vit_b, vit_l and vit_h have 768, 1024 and 1280; "
            "this architecture is not supported"
        )
    return WIDTH_TO_ARCHITECTURE[width]


def check_fits(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor], what: str) -> None:
    """Refuse a state dict whose keys or shapes are not the architecture's, naming them.

    Args:
        state: tensors of the file.
        wanted: state dict of the empty model.
        what: file and architecture, for the message.
    """
    problems = [
        _problem("lacks", [key for key in wanted if key not in state]),
        _problem("has unknown", [key for key in state if key not in wanted]),
        _problem("has of another shape", _misshaped(state, wanted)),
    ]
    found = "; ".join(problem for problem in problems if problem)
    if found:
        raise CheckpointError(f"{what}: the file {found}; name its architecture with --model or give another file")


def _misshaped(state: Mapping[str, torch.Tensor], wanted: Mapping[str, torch.Tensor]) -> list[str]:
    return [
        f"{key} {tuple(state[key].shape)} instead of {tuple(tensor.shape)}"
        for key, tensor in wanted.items()
        if key in state and state[key].shape != tensor.shape
    ]


def _problem(verb: str, keys: list[str]) -> str:
    return f"{verb} {len(keys)}: {_some(keys)}" if keys else ""


def _some(keys: Iterable[str]) -> str:
    listed = list(keys)
    more = ", ..." if len(listed) > _SHOWN_KEYS else ""
    return (", ".join(listed[:_SHOWN_KEYS]) + more) or "nothing"


def _unwrap(loaded: Any, file_name: str) -> StateDict:
    for wrapper in _WRAPPERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise CheckpointError(
            f"checkpoint {file_name} holds {type(loaded).__name__}, not a dict of tensors; "
            "give a SAM-format state dict"
        )
    return loaded


def _strip_prefix(state: StateDict) -> StateDict:
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            return {key[len(prefix) :]: tensor for key, tensor in state.items()}
    return state
