"""segment_anything's mask decoder written as plain functions on channels-last data: the same numbers, sooner.

Few tokens attend to 4,096 cells and back. So the cells are not projected to queries, keys and values: the projections
are multiplied into the tokens' side of each product first, which is half of the work and copies no large array. A
stride-2 transposed convolution is one matrix product. A test holds this path to the stock decoder's output.
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
    n_prompts, _, height, width = dense.shape
    fixed = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([fixed.expand(n_prompts, -1, -1).to(sparse.dtype), sparse], 1).to(embedding.dtype)
    cells = _to_cells(embedding) + _to_cells(dense.to(embedding.dtype))
    tokens, cells = _two_way(decoder.transformer, tokens, cells, _to_cells(image_pe.to(embedding.dtype)))
    fine = _upscale(decoder.output_upscaling, cells)
    mlps = decoder.output_hypernetworks_mlps
    kernels = torch.stack([mlp(tokens[:, 1 + index]) for index, mlp in enumerate(mlps)], 1)
    logits = (kernels @ fine.transpose(1, 2)).reshape(n_prompts, -1, height, width, 2, 2, 2, 2)
    logits = logits.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(n_prompts, -1, 4 * height, 4 * width)
    return logits, decoder.iou_prediction_head(tokens[:, 0])


def _to_cells(grid: Tensor) -> Tensor:
    """Lay (B, C, h, w) out as (B, h*w, C)."""
    return grid.flatten(2).transpose(1, 2).contiguous()


def _norm(layer: Any, values: Tensor) -> Tensor:
    """Normalize the last axis in the data's own precision."""
    return F.layer_norm(
        values, values.shape[-1:], layer.weight.to(values.dtype), layer.bias.to(values.dtype), layer.eps
    )


def _by_head(layer: Any, values: Tensor) -> Tensor:
    """Split (P, N, C) into heads (P, h, N, C / h)."""
    return values.reshape(*values.shape[:2], layer.num_heads, -1).transpose(1, 2)


def _attend(layer: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Run one attention layer among tokens by explicit softmax."""
    queries, keys = _by_head(layer, layer.q_proj(query)), _by_head(layer, layer.k_proj(key))
    weights = torch.softmax(queries @ keys.transpose(-1, -2) * queries.shape[-1] ** -0.5, -1)
    mixed: Tensor = layer.out_proj((weights @ _by_head(layer, layer.v_proj(value))).transpose(1, 2).flatten(2))
    return mixed


def _look(layer: Any, tokens: Tensor, placed_cells: Tensor, cells: Tensor) -> Tensor:
    """Let tokens (P, T, C) attend to cells (P, N, C); a bias of the keys is the same for all cells and falls out."""
    heads = layer.num_heads
    queries = _by_head(layer, layer.q_proj(tokens))
    asked = queries * queries.shape[-1] ** -0.5 @ layer.k_proj.weight.unflatten(0, (heads, -1))
    weights = torch.softmax(asked.flatten(1, 2) @ placed_cells.transpose(1, 2), -1)
    seen = (weights @ cells).reshape(len(cells), heads, -1, cells.shape[-1])
    seen = seen @ layer.v_proj.weight.unflatten(0, (heads, -1)).transpose(1, 2)
    mixed: Tensor = layer.out_proj(seen.transpose(1, 2).flatten(2) + layer.v_proj.bias)
    return mixed


def _tell(layer: Any, placed_cells: Tensor, placed_tokens: Tensor, tokens: Tensor) -> Tensor:
    """Let cells (P, N, C) attend to tokens (P, T, C)."""
    heads, n_tokens = layer.num_heads, tokens.shape[1]
    keys = _by_head(layer, layer.k_proj(placed_tokens))
    keys = keys * keys.shape[-1] ** -0.5
    asked = (keys @ layer.q_proj.weight.unflatten(0, (heads, -1))).flatten(1, 2)
    bias = (keys @ layer.q_proj.bias.reshape(heads, -1, 1)).flatten(1)
    scores = asked @ placed_cells.transpose(1, 2) + bias[:, :, None]
    weights = torch.softmax(scores.unflatten(1, (heads, n_tokens)), 2).flatten(1, 2).transpose(1, 2)
    said = _by_head(layer, layer.v_proj(tokens)) @ layer.out_proj.weight.T.unflatten(0, (heads, -1))
    told: Tensor = weights @ (said + layer.out_proj.bias / heads).flatten(1, 2)  # the weights of a head add up to 1
    return told


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
        seen = _look(layer.cross_attn_token_to_image, tokens + prompts, placed_cells, cells)
        tokens = _norm(layer.norm2, tokens + seen)
        tokens = _norm(layer.norm3, tokens + layer.mlp(tokens))
        told = _tell(layer.cross_attn_image_to_token, placed_cells, tokens + prompts, tokens)
        cells = _norm(layer.norm4, cells + told)
    seen = _look(transformer.final_attn_token_to_image, tokens + prompts, cells + cell_places, cells)
    return _norm(transformer.norm_final_attn, tokens + seen), cells


def _upscale(layers: Any, cells: Tensor) -> Tensor:
    """Enlarge cells (P, N, C) four times to (P, 16 N, C/8), the 16 parts of a cell beside each other."""
    first, norm, _, second, _ = layers
    return F.gelu(_double(second, F.gelu(_norm(norm, _double(first, cells)))))


def _double(layer: Any, cells: Tensor) -> Tensor:
    """Apply a 2x2 stride-2 transposed convolution as a matrix product; (P, N, C) to (P, 4 N, C'), part by part."""
    channels_in, channels_out = layer.weight.shape[:2]
    weight = layer.weight.permute(2, 3, 1, 0).reshape(4 * channels_out, channels_in)
    return F.linear(cells, weight, layer.bias.repeat(4)).reshape(len(cells), -1, channels_out)
