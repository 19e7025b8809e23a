"""The patching function P (paper section 3.1) as one fixed depthwise convolution.

The published code unfolds 5x5 windows (stride 2, padding 2) and pools each 256*25 vector to 1,024
numbers. The pooling bins never cross channels, so per channel it is four means over seven
consecutive cells of the window read row by row; output index = 4 * channel + bin.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from ..arrays import FloatArray
from ..config import Config


def pooling_kernels(window_px: int, pooled_cells: int) -> torch.Tensor:
    """Return the adaptive-average kernels (pooled_cells, 1, window_px, window_px)."""
    n_cells = window_px * window_px
    kernels = torch.zeros(pooled_cells, n_cells)
    for index in range(pooled_cells):
        start, stop = index * n_cells // pooled_cells, math.ceil((index + 1) * n_cells / pooled_cells)
        kernels[index, start:stop] = 1.0 / (stop - start)
    return kernels.reshape(pooled_cells, 1, window_px, window_px)


def patch_embeddings(embeddings: torch.Tensor, config: Config) -> FloatArray:
    """Return patch embeddings float32 (B, N, D), row-major over the patch grid.

    embeddings: (B, 256, 64, 64), any float type; computed in float32.
    """
    channels = embeddings.shape[1]
    kernels = pooling_kernels(config.window_px, config.pooled_cells).repeat(channels, 1, 1, 1)
    with torch.inference_mode():
        pooled = F.conv2d(
            embeddings.float(),
            kernels.to(embeddings.device),
            stride=config.stride,
            padding=config.padding,
            groups=channels,
        )
        rows = pooled.flatten(2).transpose(1, 2).contiguous()
    return np.asarray(rows.cpu().numpy(), np.float32)
