"""Models, checkpoints and slices to measure with; nothing is fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.sam import load_model
from MIASSAMLib.sam.acceleration import probe_raster
from MIASSAMLib.sam.device import RunOptions
from MIASSAMLib.sam.loading import empty_sam, prepare_segment_anything
from MIASSAMLib.sam.registry import checkpoint_path, find_model

PLAIN_OPTIONS = RunOptions(precision="float32", accelerate=False)


@dataclass(frozen=True)
class Subject:
    """One model measured, and the same weights the plain way.

    Attributes:
        name: model name.
        weights: "published", "shipped" or "random", for the report.
        fast: the model as the package runs it.
        plain: segment-anything as published, float32.
    """

    name: str
    weights: str
    fast: Any
    plain: Any

    @property
    def device(self) -> str:
        """Return the torch device in words."""
        return str(self.fast.device)

    def raster(self) -> FloatArray:
        """Return one grey raster (1, S, S)."""
        return probe_raster(self.fast.input_px)


def load_subject(name: str, device: str, scratch: Path) -> Subject:
    """Load a model both ways; a checkpoint that was never fetched is replaced by random weights.

    Speed does not depend on the weights.
    """
    if name == "embedded":
        return Subject(name, "shipped", load_model(name, None, device), load_model(name, None, device, PLAIN_OPTIONS))
    path, weights = checkpoint_path(find_model(name)), "published"
    if not path.is_file():
        path, weights = random_checkpoint(name, scratch), "random"
    return Subject(name, weights, load_model(name, path, device), load_model(name, path, device, PLAIN_OPTIONS))


def random_checkpoint(name: str, folder: Path) -> Path:
    """Write a randomly initialized checkpoint, relative positions included, and return its path."""
    path = folder / f"random_{name}.pth"
    if not path.is_file():
        prepare_segment_anything()
        sam = empty_sam(find_model(name).architecture).to_empty(device="cpu")
        for key, tensor in sam.state_dict().items():
            _fill(key, tensor)
        torch.save(sam.state_dict(), path)
    return path


def _fill(key: str, tensor: torch.Tensor) -> None:
    """Give a tensor of a state dict random values of the size training leaves, the same every time."""
    generator = torch.Generator().manual_seed(len(key))
    if key.endswith(("running_var", "norm.weight", "bn.weight")) or ("norm" in key and key.endswith("weight")):
        tensor.fill_(1)
    elif tensor.is_floating_point():
        tensor.normal_(0, min(0.02, tensor[0].numel() ** -0.5) if tensor.ndim > 1 else 0.02, generator=generator)
    else:
        tensor.zero_()


def encoder_tflop(model: Any) -> float:
    """Return the 10^12 floating-point operations of one slice, counted in segment-anything's encoder."""
    from torch.utils.flop_counter import FlopCounterMode

    side = model.input_px
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        if hasattr(model.sam.image_encoder, "grey"):
            model.sam.image_encoder.grey(torch.zeros(1, 1, side, side, device=model.device))
        else:
            model.sam.image_encoder(torch.zeros(1, 3, side, side, device=model.device))
    return float(counter.get_total_flops()) / 1e12


def normal_rows(n_rows: int, dimension: int = 1024) -> FloatArray:
    """Return random rows (N, D) in the place of a bank's patches."""
    return np.random.default_rng(0).standard_normal((n_rows, dimension), np.float32)
