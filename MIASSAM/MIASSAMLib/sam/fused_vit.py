"""segment-anything's ViT with fused attention: same classes, same weights, other arithmetic.

segment-anything adds q.R_h and q.R_w to the scores as a full matrix per head (805 MB for one ViT-B
layer in float32). Here both terms are folded into the product itself: each query is extended by its
own position terms, each key by the one-hot codes of its row and column. The product of the extended
vectors is the score, so a fused kernel or a plain matrix product needs nothing else.
"""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import Block
from torch.nn import functional as F

QUERY_CHUNK = 512
"""Queries scored at a time on a CPU: the score rows of a chunk stay in cache."""

_ALIGN = 32
_MLP_CHUNK = 512


class FusedBlock(Block):  # type: ignore[misc]
    """A Block whose attention never builds a score matrix of all heads.

    The residual stream stays float32; matrix products run in the precision of the weights. Padding of
    the last windows is added after the projection to q, k and v (its rows are the bias alone), so
    4,096 rows are multiplied instead of 4,900.
    """

    def adopt(self, grid_px: int, dtype: torch.dtype) -> None:
        """Prepare the tables of a grid of grid_px x grid_px tokens and cast the matrices to a precision."""
        side = self.window_size or grid_px
        attention = self.attn
        self._side, self._dtype = side, dtype
        device = attention.rel_pos_h.device
        to_windows, from_windows = _window_order(grid_px, side, device)
        for name, table in (
            ("_table_h", relative_table(attention.rel_pos_h, side).to(dtype)),
            ("_table_w", relative_table(attention.rel_pos_w, side).to(dtype)),
            ("_codes", key_codes(side, side, device).to(dtype)),
            ("_to_windows", to_windows),
            ("_from_windows", from_windows),
        ):
            self.register_buffer(name, table, persistent=False)
        for layer in (attention.qkv, attention.proj, self.mlp.lin1, self.mlp.lin2):
            layer.to(dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return tokens of the same shape (B, H, W, C), float32."""
        batch, height, width, channels = x.shape
        tokens = x.reshape(batch, height * width, channels)
        tokens = tokens + self._attention(_normalize(self.norm1, tokens, self._dtype))
        return self._add_mlp(tokens).view(batch, height, width, channels)

    def _attention(self, tokens: torch.Tensor) -> torch.Tensor:
        """Attend within windows, or over the whole grid when the window is the grid."""
        batch, count, channels = tokens.shape
        attention = self.attn
        if self.window_size:
            tokens = F.pad(tokens, (0, 0, 0, 1))
        qkv = attention.qkv(tokens)
        if self.window_size:
            qkv = qkv.index_select(1, self._to_windows)
        heads = attention.num_heads
        qkv = qkv.view(-1, self._side**2, 3, heads, channels // heads).permute(2, 0, 3, 1, 4)
        query = extend_queries(qkv[0], self._table_h, self._table_w, attention.scale, self._codes.shape[1])
        mixed = attend(query, extend_keys(qkv[1], self._codes), qkv[2])
        mixed = mixed.transpose(1, 2).reshape(batch, -1, channels)
        if self.window_size:
            mixed = mixed.index_select(1, self._from_windows)
        projected: torch.Tensor = attention.proj(mixed)
        return projected

    def _add_mlp(self, tokens: torch.Tensor) -> torch.Tensor:
        """Add the MLP's answer in place; a CPU does it in pieces whose hidden layer stays in cache."""
        pieces = torch.split(tokens, _MLP_CHUNK, 1) if tokens.device.type == "cpu" else (tokens,)
        for piece in pieces:
            piece += self.mlp(_normalize(self.norm2, piece, self._dtype))
        return tokens


def accelerate_vit(encoder: Any, dtype: torch.dtype) -> None:
    """Swap the blocks of an ImageEncoderViT for fused ones, in place, keeping its weights.

    Args:
        encoder: segment_anything's ImageEncoderViT with relative positions.
        dtype: precision of the matrix products.
    """
    grid_px = encoder.img_size // encoder.patch_embed.proj.kernel_size[0]
    for block in encoder.blocks:
        block.__class__ = FusedBlock
        block.adopt(grid_px, dtype)


def _normalize(layer: Any, tokens: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    normed: torch.Tensor = layer(tokens)
    return normed.to(dtype)


def _window_order(grid_px: int, side: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Return which token each window slot takes (index grid_px**2 = padding), and each token's slot."""
    windows = -(-grid_px // side)
    padded = torch.full((windows * side, windows * side), grid_px**2, device=device)
    padded[:grid_px, :grid_px] = torch.arange(grid_px**2, device=device).view(grid_px, grid_px)
    order = padded.view(windows, side, windows, side).transpose(1, 2).reshape(-1)
    slots = torch.empty(grid_px**2 + 1, dtype=torch.long, device=device)
    slots[order] = torch.arange(len(order), device=device)
    return order, slots[: grid_px**2]


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
