"""Make a loaded model fast on its device, and prove that it still answers the same."""

from __future__ import annotations

import copy
import platform
from collections.abc import Callable
from typing import Any, Protocol

import torch

from .device import choose_precision
from .fused_block import accelerate_encoder
from .grey_acceleration import accelerate_grey_encoder
from .options import RunOptions
from .precision_check import embedding_cosine, is_precision_good, probe_raster


class Accelerated(Protocol):
    """A model whose encoder can be rewritten in place."""

    digest: str
    device: str
    input_px: int
    precision: str
    sam: Any

    def encode(self, rasters: Any) -> torch.Tensor:
        """See SamModel.encode."""
        ...


def accelerate(model: Accelerated, options: RunOptions) -> None:
    """Swap the encoder's arithmetic in place, in the precision the options or the device ask for.

    A precision that was not asked for by name is checked against float32 and given up when the
    embedding's cosine falls under `LEAST_COSINE`.
    """
    if not options.accelerate:
        return
    dtype = choose_precision(torch.device(model.device), options.precision)
    restore = _keep_original(model)
    _rewrite(model, torch.float32)
    if dtype != torch.float32:
        if options.precision != "auto" or is_precision_good(_key(model, dtype), lambda: _measure(model, dtype)):
            _rewrite(model, dtype)
        else:
            restore()
            _rewrite(model, torch.float32)
    if options.compile:
        encoder = model.sam.image_encoder
        getattr(encoder, "grey", encoder).compile()


def _measure(model: Accelerated, dtype: torch.dtype) -> float:
    raster = probe_raster(model.input_px)
    reference = model.encode(raster)
    _rewrite(model, dtype)
    return embedding_cosine(model.encode(raster), reference)


def _rewrite(model: Accelerated, dtype: torch.dtype) -> None:
    encoder = model.sam.image_encoder
    if hasattr(encoder, "grey"):
        accelerate_grey_encoder(encoder.grey, dtype)
    else:
        accelerate_encoder(encoder, dtype)
    model.precision = str(dtype).removeprefix("torch.")


def _keep_original(model: Accelerated) -> Callable[[], None]:
    """Return a function that puts the encoder's float32 weights back."""
    encoder = model.sam.image_encoder
    if hasattr(encoder, "grey"):
        grey = copy.deepcopy(encoder.grey)
        return lambda: setattr(encoder, "grey", grey)
    weights = dict(encoder.state_dict())
    return lambda: encoder.load_state_dict(weights, assign=True) and None


def _key(model: Accelerated, dtype: torch.dtype) -> dict[str, str]:
    device = torch.device(model.device)
    chip = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_words()
    precision = f"{str(dtype).removeprefix('torch.')}-{device.type}"
    return {"digest": model.digest, "precision": precision, "chip": chip, "torch": torch.__version__}


def _cpu_words() -> str:
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
