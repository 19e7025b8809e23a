"""The image encoder: a grey 256-px raster in, a 256x64x64 image embedding out."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

INPUT_PX = 256
FRAME_PX = 1024
EMBEDDING_DIM = 256
GREY_MEAN, GREY_STD = 0.35, 0.28
_RGB_MEAN = (123.675, 116.28, 103.53)
_RGB_STD = (58.395, 57.12, 57.375)


def conv_norm(channels_in: int, channels_out: int, kernel: int, stride: int) -> nn.Sequential:
    """Build a bias-free convolution followed by batch normalization."""
    conv = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels_out))


class ResidualBlock(nn.Module):
    """Two dense 3x3 convolutions round a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = conv_norm(channels, channels, 3, 1)
        self.second = conv_norm(channels, channels, 3, 1)
        nn.init.zeros_(self.second[1].weight)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape (B, C, H, W)."""
        changed: Tensor = self.second(F.gelu(self.first(features)))
        return F.gelu(features + changed)


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and a three-fold MLP over tokens (B, N, C)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.project = nn.Linear(channels, channels)
        self.norm_mlp = nn.LayerNorm(channels)
        self.expand = nn.Linear(channels, 3 * channels)
        self.contract = nn.Linear(3 * channels, channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.contract.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return tokens of the same shape (B, N, C)."""
        batch, count, channels = tokens.shape
        qkv = self.qkv(self.norm_attention(tokens)).reshape(batch, count, 3, self.heads, channels // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(batch, count, channels)
        tokens = tokens + self.project(mixed)
        thought: Tensor = self.contract(F.gelu(self.expand(self.norm_mlp(tokens))))
        return tokens + thought


class GreyEncoder(nn.Module):
    """Convolutions at strides 4 and 8, attention at stride 16, a feature pyramid back to stride 4."""

    def __init__(self) -> None:
        super().__init__()
        stem, fine, middle, coarse, pyramid = 32, 96, 160, 192, 128
        self.stem = nn.ModuleList([conv_norm(1, stem, 3, 2), conv_norm(stem, fine, 3, 2)])
        self.fine = nn.Sequential(ResidualBlock(fine), ResidualBlock(fine))
        self.to_middle = conv_norm(fine, middle, 3, 2)
        self.middle = nn.Sequential(ResidualBlock(middle), ResidualBlock(middle))
        self.to_coarse = conv_norm(middle, coarse, 3, 2)
        self.position = nn.Parameter(torch.zeros(1, coarse, 16, 16))
        self.coarse = nn.Sequential(AttentionBlock(coarse, 6), AttentionBlock(coarse, 6))
        self.lateral_coarse = conv_norm(coarse, pyramid, 1, 1)
        self.lateral_middle = conv_norm(middle, pyramid, 1, 1)
        self.lateral_fine = conv_norm(fine, pyramid, 1, 1)
        self.merge_middle = ResidualBlock(pyramid)
        self.merge_fine = nn.Sequential(ResidualBlock(pyramid), ResidualBlock(pyramid))
        self.neck = conv_norm(pyramid, EMBEDDING_DIM, 1, 1)
        self.neck_spatial = nn.Conv2d(EMBEDDING_DIM, EMBEDDING_DIM, 3, padding=1, bias=False)
        self.neck_norm = nn.LayerNorm(EMBEDDING_DIM, eps=1e-6)

    def forward(self, rasters: Tensor) -> Tensor:
        """Encode rasters (B, 1, S, S) in [0, 1]; return embeddings (B, 256, S/4, S/4). S is 256 outside training."""
        features = (rasters - GREY_MEAN) / GREY_STD
        for stage in self.stem:
            features = F.gelu(stage(features))
        fine = self.fine(features)
        middle = self.middle(F.gelu(self.to_middle(fine)))
        merged = self.lateral_middle(middle) + F.interpolate(self._attend(middle), scale_factor=2.0, mode="nearest")
        merged = self.merge_middle(F.gelu(merged))
        merged = self.lateral_fine(fine) + F.interpolate(merged, scale_factor=2.0, mode="nearest")
        embedding = self.neck_spatial(self.neck(self.merge_fine(F.gelu(merged)))).permute(0, 2, 3, 1)
        normed: Tensor = self.neck_norm(embedding)
        return normed.permute(0, 3, 1, 2)

    def _attend(self, middle: Tensor) -> Tensor:
        """Mix the whole image at stride 16; return pyramid features at that stride."""
        grid = self.to_coarse(middle)
        position: Tensor = self.position
        if grid.shape[-2:] != position.shape[-2:]:
            position = F.interpolate(position, size=grid.shape[-2:], mode="bilinear")
        grid = grid + position.to(grid.dtype)
        tokens = self.coarse(grid.flatten(2).transpose(1, 2))
        mixed: Tensor = self.lateral_coarse(tokens.transpose(1, 2).reshape(grid.shape))
        return mixed


class FrameEncoder(nn.Module):
    """Take segment_anything's preprocessed 1024-px RGB frame to the grey encoder.

    `Sam.preprocess` pads with zeros after normalization, which is a mid grey; the padding is made black again.
    """

    rgb_mean: Tensor
    rgb_std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.img_size = FRAME_PX
        self.grey = GreyEncoder()
        self.register_buffer("rgb_mean", torch.tensor(_RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("rgb_std", torch.tensor(_RGB_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, frames: Tensor) -> Tensor:
        """Encode normalized frames (B, 3, 1024, 1024); return embeddings (B, 256, 64, 64)."""
        is_padding = (frames == 0).all(1, keepdim=True)
        grey = (frames * self.rgb_std + self.rgb_mean).mean(1, keepdim=True) / 255
        grey = grey.masked_fill(is_padding, 0.0)
        embedding: Tensor = self.grey(F.avg_pool2d(grey, FRAME_PX // INPUT_PX))
        return embedding
