"""Baselines that need no bank: brightness, and levels taken from a map itself."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray

_MAD_TO_SIGMA = 1.4826
SIGMA_SHARE = 4.0 / 256.0
"""Smoothing of the brightness baseline: the paper's 4 px of 256, as a share of the slice's longer side."""
_LEVELS = 512


def robust_z(voxels_kji: FloatArray, organ_kji: BoolArray) -> FloatArray:
    """Return (x - median) / (1.4826 MAD) of the case's own organ; its lowest value elsewhere."""
    inside = voxels_kji[organ_kji]
    if not len(inside):
        return np.zeros_like(voxels_kji)
    median = np.median(inside)
    spread = _MAD_TO_SIGMA * np.median(np.abs(inside - median)) or float(inside.std()) or 1.0
    z = ((voxels_kji - median) / spread).astype(np.float32)
    return np.where(organ_kji, z, z[organ_kji].min())


def smoothed_z(z_slices: FloatArray, organ_slices: BoolArray) -> FloatArray:
    """Smooth z within each slice, over organ pixels only; the lowest value elsewhere. Shapes (S, H, W)."""
    sigma = (0, *(SIGMA_SHARE * max(z_slices.shape[1:]),) * 2)
    weight = ndimage.gaussian_filter(organ_slices.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(organ_slices, z_slices, 0).astype(np.float32), sigma)
    inside = smooth / np.maximum(weight, 1e-6)
    lowest = float(inside[organ_slices].min()) if organ_slices.any() else 0.0
    return np.asarray(np.where(organ_slices, inside, lowest), np.float32)


def largest_component(mask: BoolArray) -> BoolArray:
    """Keep the largest connected part of (K, J, I); touching at a corner connects."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def otsu_mask(values: FloatArray, organ: BoolArray) -> BoolArray:
    """Cut a case's map at Otsu's level inside the organ; empty when it is constant there."""
    inside = values[organ]
    if not len(inside) or inside.max() <= inside.min():
        return np.zeros(values.shape, bool)
    return np.asarray((values > _otsu_level(inside)) & organ)


def _otsu_level(values: AnyArray) -> float:
    counts, edges = np.histogram(values, bins=_LEVELS)
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = len(values) - below
    sums = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = np.where((below > 0) & (above > 0), below * above * gap**2, 0.0)
    return float(edges[1 + int(np.argmax(between))])
