"""Read a SAM-format state dict safely and tell which architecture it is of."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError

WIDTH_TO_ARCHITECTURE = {768: "vit_b", 1024: "vit_l", 1280: "vit_h"}
_WIDTH_KEY = "image_encoder.patch_embed.proj.weight"
_TINY_VIT_KEY = "image_encoder.patch_embed.seq.0.c.weight"
_TINY_VIT_UNUSED = ("image_encoder.head.", "image_encoder.norm_head.")
"""The ImageNet classifier that MobileSAM's file still holds and its encoder never runs."""

_WRAPPERS = ("model", "model_state", "model_state_dict", "state_dict")
_PREFIXES = ("module.", "sam.", "model.")
_FOREIGN = {
    "mask_decoder.hf_token.weight": "SAM-HQ, whose decoder has layers of its own for the encoder's early features",
    "image_encoder.trunk.patch_embed.proj.weight": "SAM 2, which has another encoder and decoder",
    "vision_encoder.patch_embed.projection.weight": "SAM as the transformers package names its tensors",
}
"""A key that tells another format, and what it is of."""

_SHOWN_KEYS = 3
_LOG = logging.getLogger(__name__)

StateDict = dict[str, torch.Tensor]

UnsafeFileError: type[Exception] = torch.serialization.pickle.UnpicklingError  # type: ignore[attr-defined]
"""What torch raises with weights_only for a file that holds more than tensors."""


def read_state_dict(path: Path) -> StateDict:
    """Read a state dict without running any code from the file (weights_only).

    Wrappers ({"model_state": ...}) and prefixes ("module.", "sam.") that training scripts leave are
    removed and named in the log.

    Raises:
        CheckpointError: the file is missing, damaged, holds more than tensors, or is of a format that is
            known not to fit, such as SAM-HQ.
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
    state = _without_prefixes(_unwrap(loaded, path.name), path.name)
    for key, what in _FOREIGN.items():
        if key in state:
            raise CheckpointError(
                f"{path.name} is a checkpoint of {what} ({key}); it would decode with weights missing, so it is "
                "refused: give a checkpoint of SAM, MobileSAM, MedSAM or MedicoSAM"
            )
    if _TINY_VIT_KEY in state:
        state = {key: tensor for key, tensor in state.items() if not key.startswith(_TINY_VIT_UNUSED)}
    return state


def deduce_architecture(state: Mapping[str, torch.Tensor], file_name: str) -> str:
    """Return "vit_t", "vit_b", "vit_l" or "vit_h" from the patch embedding."""
    if _TINY_VIT_KEY in state:
        return "vit_t"
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
    found = []
    while isinstance(loaded, dict):
        wrapper = next((each for each in _WRAPPERS if isinstance(loaded.get(each), dict)), None)
        if wrapper is None:
            break
        found.append(wrapper)
        loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not loaded or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise CheckpointError(
            f"checkpoint {file_name} holds {_what_is(loaded)}, not a dict of tensors; give a SAM-format state dict, "
            f"bare or under one of the keys {', '.join(_WRAPPERS)}"
        )
    if found:
        _LOG.info("%s: the weights are under %s", file_name, " > ".join(found))
    return loaded


def _what_is(loaded: Any) -> str:
    if not isinstance(loaded, dict):
        return type(loaded).__name__
    return f"a dict with {_some(str(key) for key, value in loaded.items() if not isinstance(value, torch.Tensor))}"


def _without_prefixes(state: StateDict, file_name: str) -> StateDict:
    """Take common prefixes off, one after the other ("module.sam.")."""
    while prefix := next((each for each in _PREFIXES if all(key.startswith(each) for key in state)), ""):
        _LOG.info("%s: the prefix %s is taken off every key", file_name, prefix)
        state = {key[len(prefix) :]: tensor for key, tensor in state.items()}
    return state
