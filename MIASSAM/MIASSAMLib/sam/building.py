"""Build segment-anything's own classes from a state dict, without drawing random weights first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .state_dict import StateDict, check_fits, deduce_architecture

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)


def empty_sam(architecture: str) -> Any:
    """Return segment-anything's Sam of an architecture, its weights without storage ("meta")."""
    from segment_anything.build_sam import sam_model_registry

    with torch.device("meta"):
        return sam_model_registry[architecture]()


def build_sam(state: StateDict, architecture: str, path: Path) -> Any:
    """Return a float32 Sam in evaluation mode holding the weights of a state dict.

    Args:
        state: tensors by name.
        architecture: "vit_b", "vit_l", "vit_h", or "auto" to deduce it.
        path: file of the state dict, for messages.
    """
    if architecture == "auto":
        architecture = deduce_architecture(state, path.name)
    sam = empty_sam(architecture)
    check_fits(state, sam.state_dict(), f"{path.name} does not fit {architecture}")
    sam.load_state_dict({key: tensor.float() for key, tensor in state.items()}, assign=True)
    sam.pixel_mean = torch.tensor(PIXEL_MEAN).view(-1, 1, 1)
    sam.pixel_std = torch.tensor(PIXEL_STD).view(-1, 1, 1)
    sam.architecture = architecture
    return sam.eval().requires_grad_(False)
