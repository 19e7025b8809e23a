"""The embedded model's encoder, faster: normalization folded into convolutions, channels last, reduced precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

KEPT_FLOAT32 = ("stem", "neck_norm")
"""Parts that stay float32: rounding the raster before the stem costs ten times more than all the rest."""


def accelerate_grey_encoder(encoder: Any, dtype: torch.dtype) -> None:
    """Rewrite a GreyEncoder in place for inference.

    Args:
        encoder: the embedded model's GreyEncoder in evaluation mode, on its device.
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
