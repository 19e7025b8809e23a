"""Make a loaded model fast on its device, and prove that it still answers the same."""

from __future__ import annotations

import copy
import json
import logging
import platform
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from ..arrays import FloatArray
from ..errors import UsageError
from ..files import write_text
from .device import RunOptions, choose_precision
from .fused_vit import accelerate_vit
from .registry import checkpoint_cache_folder

LEAST_COSINE = 0.9999
"""Cosine between the reduced and the float32 embedding under which float32 is used instead."""

KEPT_FLOAT32 = ("stem", "neck_norm", "patch_embed", "neck")
"""Parts of a convolutional encoder that stay float32: rounding the raster costs ten times more than all the rest."""

_LOG = logging.getLogger(__name__)


def accelerate(model: Any, options: RunOptions) -> None:
    """Swap the encoder's arithmetic in place, in the precision the options or the device ask for.

    A precision that was not asked for by name is checked against float32 and given up when the
    embedding's cosine falls under `LEAST_COSINE`.

    Args:
        model: a `TorchModel`.
        options: precision, acceleration.
    """
    if not options.accelerate:
        return
    dtype = choose_precision(torch.device(model.device), options.precision)
    restore = _keep_original(model)
    _rewrite(model, torch.float32)
    if dtype == torch.float32:
        return
    if options.precision != "auto" or is_precision_good(_key(model, dtype), lambda: _measure(model, dtype)):
        _rewrite(model, dtype)
    else:
        restore()
        _rewrite(model, torch.float32)


def _measure(model: Any, dtype: torch.dtype) -> float:
    raster = probe_raster(model.input_px)
    reference = model.encode(raster)
    _rewrite(model, dtype)
    return embedding_cosine(model.encode(raster), reference)


def _rewrite(model: Any, dtype: torch.dtype) -> None:
    encoder = model.sam.image_encoder
    if hasattr(encoder, "patch_embed") and hasattr(encoder.patch_embed, "proj"):
        accelerate_vit(encoder, dtype)
    else:
        accelerate_convolutions(getattr(encoder, "grey", encoder), dtype)
    model.precision = str(dtype).removeprefix("torch.")


def accelerate_convolutions(encoder: Any, dtype: torch.dtype) -> None:
    """Rewrite an encoder with convolutions in place: batch norms folded in, channels last, reduced precision.

    Args:
        encoder: the embedded model's GreyEncoder or a TinyVitEncoder, in evaluation mode, on its device.
        dtype: precision of everything but `KEPT_FLOAT32`.
    """
    fold_norms(encoder)
    encoder.to(memory_format=torch.channels_last)
    if dtype == torch.float32:
        return
    for name, part in encoder.named_children():
        if name not in KEPT_FLOAT32:
            part.to(dtype)
        for step in part if isinstance(part, nn.ModuleList) else [part]:
            step.register_forward_pre_hook(_cast_input)


def fold_norms(module: nn.Module) -> None:
    """Replace every convolution followed by its batch normalization by one convolution."""
    for name, child in module.named_children():
        conv_norm: Any = child
        if isinstance(child, nn.Sequential) and len(child) == 2 and isinstance(child[1], nn.BatchNorm2d):
            setattr(module, name, nn.utils.fuse_conv_bn_eval(conv_norm[0], conv_norm[1]))
        else:
            fold_norms(child)


def _cast_input(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    dtype = next(module.parameters()).dtype
    return tuple(tensor.to(dtype) for tensor in inputs)


def _keep_original(model: Any) -> Callable[[], None]:
    """Return a function that puts the encoder's float32 weights back."""
    sam = model.sam
    if sum(each.numel() for each in sam.image_encoder.parameters()) < 2e7:
        kept = copy.deepcopy(sam.image_encoder)
        return lambda: setattr(sam, "image_encoder", kept)
    weights = dict(sam.image_encoder.state_dict())
    return lambda: sam.image_encoder.load_state_dict(weights, assign=True) and None


def probe_raster(side_px: int) -> FloatArray:
    """Return a grey raster (1, S, S): an organ with texture, a bright and a dark spot, black round it."""
    rows, columns = np.mgrid[0:side_px, 0:side_px] / side_px - 0.5
    organ = np.hypot(columns, 1.2 * rows) < 0.38
    raster = 0.35 * organ * (1 + 0.2 * np.sin(40 * columns) * np.sin(31 * rows))
    raster += 0.45 * (np.hypot(columns - 0.1, rows + 0.05) < 0.06) - 0.2 * (np.hypot(columns + 0.12, rows) < 0.05)
    noise = np.random.default_rng(0).normal(0, 0.02, raster.shape) * organ
    return np.asarray(np.clip(raster + noise, 0, 1), np.float32)[None]


def embedding_cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the cosine between two sets of embeddings, all numbers together."""
    return float(F.cosine_similarity(first.double().flatten().cpu(), second.double().flatten().cpu(), 0))


def is_precision_good(key: dict[str, str], measure: Callable[[], float]) -> bool:
    """Tell whether a precision passed, measuring it only the first time on this machine.

    Args:
        key: what the verdict depends on: digest, device, precision, torch version.
        measure: returns the embedding cosine against float32.
    """
    path = _record_path(key)
    cosine = _recorded_cosine(path, key)
    if cosine is None:
        cosine = measure()
        with suppress(OSError, UsageError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"key": key, "cosine": cosine}))
    if cosine < LEAST_COSINE:
        words = "%s gives embedding cosine %.6f against float32 (wanted %g); float32 is used"
        _LOG.warning(words, key["precision"], cosine, LEAST_COSINE)
    return cosine >= LEAST_COSINE


def _record_path(key: dict[str, str]) -> Path:
    name = "-".join(word.replace(":", "_").replace(" ", "_") for word in (key["digest"][:16], key["precision"]))
    return checkpoint_cache_folder() / "precision" / f"{name}.json"


def _recorded_cosine(path: Path, key: dict[str, str]) -> float | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] == key:
            return float(record["cosine"])
    return None


def _key(model: Any, dtype: torch.dtype) -> dict[str, str]:
    device = torch.device(model.device)
    on_card = device.type == "cuda"
    cpu_words = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    chip = torch.cuda.get_device_name(device) if on_card else cpu_words
    precision = f"{str(dtype).removeprefix('torch.')}-{device.type}"
    return {"digest": model.digest, "precision": precision, "chip": chip, "torch": torch.__version__}
