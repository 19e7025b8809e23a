"""segment-anything's transformer block with fused attention: same class, same weights, other arithmetic."""

from __future__ import annotations

from typing import Any

import torch
from segment_anything.modeling.image_encoder import Block
from torch.nn import functional as F

from .attention import attend, extend_keys, extend_queries, key_codes, relative_table

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


def accelerate_encoder(encoder: Any, dtype: torch.dtype) -> None:
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
