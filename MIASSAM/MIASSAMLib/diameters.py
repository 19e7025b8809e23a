"""The two diameters of a lesion. The Slicer module measures by it, too, so that only numpy and scipy are needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from .arrays import AnyArray, BoolArray, DoubleArray

_EDGES = np.array([[0.5, 0.0], [-0.5, 0.0], [0.0, 0.5], [0.0, -0.5]])
"""From a pixel's center to the middles of its edges, where the outline of a mask runs."""


@dataclass(frozen=True)
class Diameters:
    """Bidimensional size on one slice (WHO 1979, RECIST 1.1), mm.

    Attributes:
        longest: largest distance between two points of the outline.
        perpendicular: longest line at right angles to it, within the outline's convex hull.
        slice_index: slice on which the longest was found, in the array that was measured.
    """

    longest: float
    perpendicular: float
    slice_index: int


def widest(part: BoolArray, spacing_ijk_mm: AnyArray, slice_axis: int) -> Diameters:
    """Measure a part (K, J, I) on the slice where its longest diameter is.

    spacing_ijk_mm: (3,). slice_axis: 0, 1, 2 for i, j, k.
    """
    spacing = np.delete(np.asarray(spacing_ijk_mm)[::-1], 2 - slice_axis)
    sizes = [
        Diameters(*bidimensional(main_part(pixels)[0], spacing), number)
        for number, pixels in enumerate(np.moveaxis(part, 2 - slice_axis, 0))
        if pixels.any()
    ]
    return max(sizes, key=lambda size: size.longest)


def main_part(voxels: BoolArray) -> tuple[BoolArray, int]:
    """Return the largest part of a mask of any dimension, and how many parts there are; corners connect."""
    parts, count = ndimage.label(voxels, np.ones((3,) * voxels.ndim))
    largest = np.bincount(parts.ravel())[1:].argmax() + 1
    return np.asarray(parts == largest), int(count)


def bidimensional(pixels: BoolArray, spacing_yx_mm: AnyArray) -> tuple[float, float]:
    """Return the longest diameter of a mask (H, W) and the longest one perpendicular to it, mm."""
    edges = (np.argwhere(pixels)[:, None] + _EDGES).reshape(-1, 2) * spacing_yx_mm
    hull = edges[ConvexHull(edges).vertices]
    distances = cdist(hull, hull)
    start, end = np.unravel_index(distances.argmax(), distances.shape)
    longest = float(distances[start, end])
    along = (hull[end] - hull[start]) / longest
    u = (hull - hull[start]) @ along
    v = (hull - hull[start]) @ np.array([-along[1], along[0]])
    return longest, float((_chain(u, v, 1) + _chain(u, v, -1)).max())


def _chain(u: DoubleArray, v: DoubleArray, sign: int) -> DoubleArray:
    """Return how far the hull reaches to one side of the longest diameter, at each u."""
    near = np.maximum(sign * v, 0)
    order = np.lexsort((near, u))
    there = order[(near[order] > 0) | (u[order] == u.min()) | (u[order] == u.max())]
    return np.asarray(np.interp(u, u[there], near[there]))
