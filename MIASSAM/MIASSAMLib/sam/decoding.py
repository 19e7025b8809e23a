"""Decode embedded prompts with segment-anything's weights, sooner than its own forward."""

from __future__ import annotations

from typing import Any

import torch

from .embedded.fast_decode import predict_masks


def decode_tokens(
    decoder: Any, image_pe: torch.Tensor, embedding: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (P, 3, 256, 256) and predicted IoU (P, 3) of P embedded prompts on one embedding.

    A CPU takes the prompts one by one: a batch leaves its cache and costs twice as much.

    Args:
        decoder: segment-anything's MaskDecoder.
        image_pe: position code (1, 256, 64, 64).
        embedding: image embedding (1, 256, 64, 64).
        sparse: prompt tokens (P, T, 256).
        dense: dense prompt embedding (P, 256, 64, 64).
    """
    step = 1 if embedding.device.type == "cpu" else max(1, len(sparse))
    answers = [
        predict_masks(decoder, image_pe, embedding, sparse[first : first + step], dense[first : first + step])
        for first in range(0, len(sparse), step)
    ]
    logits, iou = (torch.cat(parts) for parts in zip(*answers, strict=True))
    return logits[:, 1:], iou[:, 1:]
