"""Patch scores -> anomaly map (paper section 3.1: scores are interpolated back to their place)."""

from __future__ import annotations

from functools import cache

import numpy as np
from scipy import ndimage

from ..arrays import DoubleArray, FloatArray
from ..config import EMBEDDING_PX, MAP_PX, Config, Distance


def patch_scores(squared_distances: FloatArray, distance: Distance) -> FloatArray:
    """Return patch scores (N,): the squared distances as they are, or their roots."""
    if distance == "squared_l2":
        return squared_distances
    return np.sqrt(np.maximum(squared_distances, 0)).astype(np.float32)


def anomaly_map(scores: FloatArray, config: Config) -> FloatArray:
    """Interpolate patch scores into a map and smooth it.

    scores: float32 (N,) or (n, n), row-major over the patch grid.
    Returns float32 (256, 256) over the square frame.
    """
    side = int(round(np.sqrt(scores.size)))
    matrix = upsampling_matrix(side, config.half_cell_shift)
    enlarged = matrix @ scores.reshape(side, side).astype(np.float64) @ matrix.T
    if config.map_sigma_px > 0:
        enlarged = ndimage.gaussian_filter(enlarged.astype(np.float32), config.map_sigma_px)
    return np.asarray(enlarged, np.float32)


def normalize_map(values: FloatArray) -> FloatArray:
    """Scale a map to [0, 1] by its own minimum and maximum; a constant map becomes all zero.

    The published code takes the extremes over the whole test set instead, so that one image's
    result depends on the others; this is the stated deviation of both paper presets.
    """
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), np.float32)


@cache
def upsampling_matrix(side: int, half_cell_shift: bool) -> DoubleArray:
    """Return the linear interpolation (256, side) from patch positions to map pixels.

    Patch i is centered on embedding cell 2 i. With `half_cell_shift` it is placed as a plain resize
    of the grid would, 2 px of 256 further right and down (the published code).
    """
    pixel = np.arange(MAP_PX) + 0.5
    cell_px = MAP_PX / EMBEDDING_PX
    stride_px = MAP_PX / side
    first = stride_px / 2 if half_cell_shift else cell_px / 2
    position = np.clip((pixel - first) / stride_px, 0, side - 1)
    lower = np.minimum(position.astype(int), side - 2)
    share = position - lower
    matrix = np.zeros((MAP_PX, side))
    matrix[np.arange(MAP_PX), lower] = 1 - share
    matrix[np.arange(MAP_PX), lower + 1] = share
    return matrix
