"""segment_anything's mask decoder written as plain functions on channels-last data: the same numbers, sooner.

Few tokens attend to 4,096 cells and back; explicit softmax attention beats the fused kernels there, and a stride-2
transposed convolution is one matrix product. A test holds this path to the stock decoder's output.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def predict_masks(decoder: Any, image_pe: Tensor, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Any, Any]:
    """Decode prompts as `MaskDecoder.predict_masks` does.

    Args:
        decoder: segment_anything's MaskDecoder, whose weights are used.
        image_pe: position encoding (1, C, h, w).
        embedding: image embedding per prompt (P, C, h, w), or (1, C, h, w) shared by all.
        sparse: prompt tokens (P, T, C).
        dense: dense prompt embedding (P, C, h, w).

    Returns:
        Logits (P, 4, 4h, 4w) and predicted IoU (P, 4); index 0 is the single-mask token.
    """
    n_prompts, channels, height, width = dense.shape
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([fixed.expand(n_prompts, -1, -1).to(sparse.dtype), sparse], 1).to(embedding.dtype)
    cells = _to_cells(embedding) + _to_cells(dense).to(embedding.dtype)
    tokens, cells = _two_way(decoder.transformer, tokens, cells, _to_cells(image_pe).to(embedding.dtype))
    fine = _upscale(decoder.output_upscaling, cells.reshape(n_prompts, height, width, channels))
    mlps = decoder.output_hypernetworks_mlps
    kernels = torch.stack([mlp(tokens[:, 1 + index]) for index, mlp in enumerate(mlps)], 1)
    logits = kernels @ fine.reshape(n_prompts, 16 * height * width, -1).transpose(1, 2)
    return logits.reshape(n_prompts, -1, 4 * height, 4 * width), decoder.iou_prediction_head(tokens[:, 0])


def _to_cells(grid: Tensor) -> Tensor:
    """Lay (B, C, h, w) out as (B, h*w, C)."""
    return grid.flatten(2).transpose(1, 2)


def _norm(layer: Any, values: Tensor) -> Tensor:
    """Normalize the last axis in the data's own precision."""
    return F.layer_norm(
        values, values.shape[-1:], layer.weight.to(values.dtype), layer.bias.to(values.dtype), layer.eps
    )


def _attend(layer: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Run one attention layer by explicit softmax."""
    heads, width = layer.num_heads, layer.q_proj.out_features // layer.num_heads

    def by_head(values: Tensor) -> Tensor:
        return values.reshape(*values.shape[:2], heads, width).transpose(1, 2)

    scores = by_head(layer.q_proj(query)) @ by_head(layer.k_proj(key)).transpose(-1, -2)
    weights = torch.softmax(scores * width**-0.5, -1)
    mixed: Tensor = layer.out_proj((weights @ by_head(layer.v_proj(value))).transpose(1, 2).flatten(2))
    return mixed


def _two_way(transformer: Any, prompts: Tensor, cells: Tensor, cell_places: Tensor) -> tuple[Tensor, Tensor]:
    """Let tokens and image cells look at each other; return both."""
    tokens = prompts
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            tokens = _attend(layer.self_attn, tokens, tokens, tokens)
        else:
            placed = tokens + prompts
            tokens = tokens + _attend(layer.self_attn, placed, placed, tokens)
        tokens = _norm(layer.norm1, tokens)
        placed_cells = cells + cell_places
        seen = _attend(layer.cross_attn_token_to_image, tokens + prompts, placed_cells, cells)
        tokens = _norm(layer.norm2, tokens + seen)
        tokens = _norm(layer.norm3, tokens + layer.mlp(tokens))
        told = _attend(layer.cross_attn_image_to_token, placed_cells, tokens + prompts, tokens)
        cells = _norm(layer.norm4, cells + told)
    seen = _attend(transformer.final_attn_token_to_image, tokens + prompts, cells + cell_places, cells)
    return _norm(transformer.norm_final_attn, tokens + seen), cells


def _upscale(layers: Any, cells: Tensor) -> Tensor:
    """Enlarge channels-last cells (P, h, w, C) four times to (P, 4h, 4w, C/8)."""
    first, norm, _, second, _ = layers
    return F.gelu(_double(second, F.gelu(_norm(norm, _double(first, cells)))))


def _double(layer: Any, cells: Tensor) -> Tensor:
    """Apply a 2x2 stride-2 transposed convolution as a matrix product."""
    channels_in, channels_out = layer.weight.shape[:2]
    weight = layer.weight.permute(2, 3, 1, 0).reshape(4 * channels_out, channels_in)
    spread = F.linear(cells, weight, layer.bias.repeat(4))
    n_prompts, height, width, _ = cells.shape
    spread = spread.reshape(n_prompts, height, width, 2, 2, channels_out).permute(0, 1, 3, 2, 4, 5)
    return spread.reshape(n_prompts, 2 * height, 2 * width, channels_out)
