"""MobileSAM's image encoder: TinyViT-5M at 1024 px, giving SAM's 256 x 64 x 64 embedding.

Architecture after Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers"
(ECCV 2022), as changed by Zhang et al., "Faster Segment Anything" (arXiv 2306.14289): the last stage
keeps stride 16, and SAM's neck follows. Parameters bear the names of MobileSAM's checkpoint.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS, DEPTHS, HEADS, WINDOWS = (64, 128, 160, 320), (2, 2, 6, 2), (2, 4, 5, 10), (7, 7, 14, 7)
STRIDES = (2, 2, 1)
"""Of the passage from each stage to the next."""


def conv_norm(channels_in: int, channels_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Build a bias-free convolution "c" followed by its batch normalization "bn"."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(c=conv, bn=nn.BatchNorm2d(channels_out)))


def three_convolutions(widths: tuple[int, int, int], stride: int = 1) -> OrderedDict[str, nn.Module]:
    """Build a pointwise, a depthwise and a pointwise convolution, from widths[0] through widths[1] to widths[2]."""
    first, inside, last = widths
    return OrderedDict(
        conv1=conv_norm(first, inside), act1=nn.GELU(), conv2=conv_norm(inside, inside, 3, stride, inside),
        act2=nn.GELU(), conv3=conv_norm(inside, last),
    )  # fmt: skip


class ConvBlock(nn.Sequential):
    """Inverted bottleneck, four times as wide inside, round a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__(three_convolutions((channels, 4 * channels, channels)))

    def forward(self, grid: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W)."""
        changed: Tensor = super().forward(grid)  # type: ignore[no-untyped-call]
        return F.gelu(grid + changed)


class WindowAttention(nn.Module):
    """Attention among the tokens of one window, with a learned bias for each distance (rows, columns)."""

    places: Tensor

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.attention_biases = nn.Parameter(torch.zeros(heads, window * window))
        self.window = window

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape (G, window**2, C)."""
        groups, count, channels = tokens.shape
        qkv = self.qkv(self.norm(tokens)).view(groups, count, self.heads, 3, channels // self.heads)
        query, key, value = qkv.permute(3, 0, 2, 1, 4)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + self._biases()
        mixed = scores.softmax(-1) @ value
        projected: Tensor = self.proj(mixed.transpose(1, 2).reshape(groups, count, channels))
        return projected

    def _biases(self) -> Tensor:
        """Return the bias (heads, N, N) between tokens: element |row distance| * window + |column distance|."""
        steps = torch.arange(self.window, device=self.attention_biases.device)
        apart = (steps[:, None] - steps).abs()
        places = apart[:, None, :, None] * self.window + apart[None, :, None, :]
        return self.attention_biases[:, places.reshape(self.window**2, -1)]


class WindowBlock(nn.Module):
    """Attention in windows, a depthwise convolution across them, an MLP."""

    def __init__(self, channels: int, heads: int, window: int) -> None:
        super().__init__()
        self.attn = WindowAttention(channels, heads, window)
        self.local_conv = conv_norm(channels, channels, 3, groups=channels)
        wide, narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.mlp = nn.Sequential(OrderedDict(norm=nn.LayerNorm(channels), fc1=wide, act=nn.GELU(), fc2=narrow))

    def forward(self, grid: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W)."""
        cells = grid.permute(0, 2, 3, 1)
        cells = cells + self._attend(cells)
        cells = self.local_conv(cells.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed: Tensor = cells + self.mlp(cells)
        return mixed.permute(0, 3, 1, 2)

    def _attend(self, cells: Tensor) -> Tensor:
        """Attend in windows of (B, H, W, C); the last ones are filled up with zeros, which take part."""
        batch, height, width, channels = cells.shape
        side = self.attn.window
        padded = F.pad(cells, (0, 0, 0, -width % side, 0, -height % side))
        down, across = padded.shape[1] // side, padded.shape[2] // side
        windows = padded.reshape(batch, down, side, across, side, channels).transpose(2, 3)
        mixed = self.attn(windows.reshape(-1, side * side, channels)).view(windows.shape)
        joined = mixed.transpose(2, 3).reshape(padded.shape)
        kept: Tensor = joined[:, :height, :width]
        return kept


def stage(index: int) -> nn.Sequential:
    """Build the blocks of one width and, but for the last, the passage to the next stage."""
    width, heads, window = WIDTHS[index], HEADS[index], WINDOWS[index]
    blocks = [WindowBlock(width, heads, window) if index else ConvBlock(width) for _ in range(DEPTHS[index])]
    parts: OrderedDict[str, nn.Module] = OrderedDict(blocks=nn.Sequential(*blocks))
    if index < len(STRIDES):
        following = WIDTHS[index + 1]
        parts["downsample"] = nn.Sequential(three_convolutions((width, following, following), STRIDES[index]))
    return nn.Sequential(parts)


class TinyVitEncoder(nn.Module):
    """Encode normalized images (B, 3, 1024, 1024) to embeddings (B, 256, 64, 64)."""

    img_size = 1024

    def __init__(self) -> None:
        super().__init__()
        width = WIDTHS[0]
        embed = nn.Sequential(conv_norm(3, width // 2, 3, 2), nn.GELU(), conv_norm(width // 2, width, 3, 2))
        self.patch_embed = nn.Sequential(OrderedDict(seq=embed))
        self.layers = nn.Sequential(*map(stage, range(len(WIDTHS))))
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], 256, 1, bias=False), LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False), LayerNorm2d(256),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor:
        """Return image embeddings (B, 256, 64, 64)."""
        embedding: Tensor = self.neck(self.layers(self.patch_embed(images)))
        return embedding
