"""Patch features on one 32x32 grid: structure from the image embedding, intensity from the raster.

The patching function P (paper section 3.1) is one fixed depthwise convolution. The published code unfolds 5x5 windows
(stride 2, padding 2) and pools each 256*25 vector to 1,024 numbers. The pooling bins never cross channels, so per
channel it is four means over seven consecutive cells of the window read row by row; output index = 4 * channel + bin.

Intensity statistics keep what a structural embedding does not: Gaussian means at four scales and the local spread at
two, at the patch centers. On FLAIR tumors these six numbers find the lesion better than any structural feature; on OCT
they are worse than chance, which is why maps are fused only after calibration on normals.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F

from ..arrays import BoolArray, DoubleArray, FloatArray
from ..config import EMBEDDING_PX, MAP_PX, PATCH_GRID, Config, RefinedConfig

N_PATCHES = PATCH_GRID * PATCH_GRID
_SMALLEST_BOX_PX = 20


def patch_centers(side_px: int) -> DoubleArray:
    """Return the pixel coordinates of the patch centers along one side of a raster of side_px.

    Patch i is centered on embedding cell 2 i, that is on (32 i + 7.5) px of 1024.
    """
    cell_px = side_px / EMBEDDING_PX
    return np.asarray((2 * np.arange(PATCH_GRID) + 0.5) * cell_px - 0.5)


def patch_places(foreground: BoolArray) -> FloatArray:
    """Return where each patch lies in the box around the foreground, float32 (N, 2): x, y.

    foreground: bool (256, 256). The box runs from -0.5 to 0.5, so that bodies of any size and
    position in the frame compare; without foreground the box is the frame.
    """
    ys, xs = np.nonzero(foreground)
    if not len(ys):
        ys = xs = np.array([0, MAP_PX - 1])
    centers = patch_centers(MAP_PX)
    x, y = ((centers - (side.min() + side.max()) / 2) / max(np.ptp(side), _SMALLEST_BOX_PX) for side in (xs, ys))
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1).reshape(N_PATCHES, 2).astype(np.float32)


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


def intensity_statistics(rasters: FloatArray, config: RefinedConfig) -> FloatArray:
    """Return the intensity features float32 (B, N, D) of grey rasters: local means, then local spreads.

    rasters: float32 (B, S, S) in [0, 1], S a multiple of 256; averaged to 256 px first.
    """
    batch, side = rasters.shape[:2]
    ratio = side // MAP_PX
    small = rasters.reshape(batch, MAP_PX, ratio, MAP_PX, ratio).mean((2, 4), dtype=np.float64)
    means = [_smooth(small, sigma) for sigma in config.intensity_means_px]
    squares = small**2
    spreads = [
        np.sqrt(np.maximum(_smooth(squares, sigma) - _smooth(small, sigma) ** 2, 0))
        for sigma in config.intensity_spreads_px
    ]
    return np.stack([*means, *spreads], -1).reshape(batch, N_PATCHES, -1).astype(np.float32)


def _smooth(rasters: DoubleArray, sigma_px: float) -> DoubleArray:
    """Gaussian means at the patch centers (B, 32, 32): two small matrix products, no full filter."""
    weights = _sampling(sigma_px)
    return np.asarray(weights @ rasters @ weights.T)


@cache
def _sampling(sigma_px: float) -> DoubleArray:
    offsets = np.arange(MAP_PX)[None, :] - patch_centers(MAP_PX)[:, None]
    weights = np.exp(-0.5 * (offsets / sigma_px) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True))
