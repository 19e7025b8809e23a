"""Exact attention with decomposed relative positions, without the (N, N) matrix of position terms.

segment-anything adds q.R_h and q.R_w to the scores as a full matrix per head (805 MB for one ViT-B
layer in float32). Here both terms are folded into the product itself: each query is extended by its
own position terms, each key by the one-hot codes of its row and column. The product of the extended
vectors is the score, so a fused kernel or a plain matrix product needs nothing else.
"""

from __future__ import annotations

import torch
from torch.nn import functional as F

QUERY_CHUNK = 512
"""Queries scored at a time on a CPU: the score rows of a chunk stay in cache."""

_ALIGN = 32


def relative_table(rel_pos: torch.Tensor, side: int) -> torch.Tensor:
    """Return R (side, side, C): the position vector of query row q and key row k at [q, k].

    Args:
        rel_pos: learned vectors (2 * side - 1, C), ordered by q - k + side - 1.
        side: number of rows (or columns) of the grid.
    """
    steps = torch.arange(side, device=rel_pos.device)
    return rel_pos[steps[:, None] - steps[None, :] + side - 1]


def key_codes(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Return int64 (height * width, E): one-hot row and column of each key, E padded to a multiple of 32."""
    rows = F.one_hot(torch.arange(height, device=device).repeat_interleave(width), height)
    columns = F.one_hot(torch.arange(width, device=device).repeat(height), width)
    codes = torch.cat([rows, columns], 1)
    return F.pad(codes, (0, -codes.shape[1] % _ALIGN))


def extend_queries(
    query: torch.Tensor, table_h: torch.Tensor, table_w: torch.Tensor, scale: float, extra: int
) -> torch.Tensor:
    """Return [scale * q, q.R_h, q.R_w, 0...] (B, heads, N, C + extra) of queries (B, heads, N, C).

    Args:
        query: N = H * W queries, row-major.
        table_h: R of the rows (H, H, C).
        table_w: R of the columns (W, W, C).
        scale: factor of the plain scores.
        extra: width of `key_codes`.
    """
    height, width = table_h.shape[0], table_w.shape[0]
    batch, heads, count, channels = query.shape
    extended = query.new_empty(batch, heads, count, channels + extra)
    torch.mul(query, scale, out=extended[..., :channels])
    grid = query.reshape(batch, heads, height, width, channels)
    terms = extended[..., channels:].view(batch, heads, height, width, extra)
    terms[..., :height] = grid @ table_h.transpose(1, 2)
    terms[..., height : height + width] = (grid.transpose(2, 3) @ table_w.transpose(1, 2)).transpose(2, 3)
    terms[..., height + width :] = 0
    return extended


def extend_keys(key: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Return [k, codes] (B, heads, N, C + E)."""
    batch, heads, count, _ = key.shape
    return torch.cat([key, codes.expand(batch, heads, count, -1)], -1)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax(q k^T) v for extended queries and keys (B, heads, N, E) and values (B, heads, N, C).

    On a GPU this is the fused kernel. On a CPU the fused kernel wants values as wide as the keys and
    does not reach the speed of the bf16 matrix product, so the scores are made chunk by chunk.
    """
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, scale=1.0)
    batch, heads, count, channels = value.shape
    shape = (batch * heads, count)
    flat = attend_in_chunks(query.reshape(*shape, -1), key.reshape(*shape, -1), value.reshape(*shape, channels))
    return flat.view(batch, heads, count, channels)


def attend_in_chunks(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return softmax(q k^T) v of (G, N, E), (G, N, E), (G, N, C), holding few scores at a time."""
    groups, count, _ = query.shape
    mixed = torch.empty_like(value)
    if count <= QUERY_CHUNK:
        step = max(1, QUERY_CHUNK * 4096 // (count * count))
        for first in range(0, groups, step):
            some = slice(first, first + step)
            scores = torch.bmm(query[some], key[some].transpose(1, 2))
            torch.bmm(scores.softmax(-1), value[some], out=mixed[some])
        return mixed
    for group in range(groups):
        key_columns = key[group].t()
        for first in range(0, count, QUERY_CHUNK):
            some = slice(first, first + QUERY_CHUNK)
            scores = torch.mm(query[group, some], key_columns)
            torch.mm(scores.softmax(-1), value[group], out=mixed[group, some])
    return mixed
