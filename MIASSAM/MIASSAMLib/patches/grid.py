"""The patch grid: where patch i is, in the frame."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray, DoubleArray, FloatArray
from ..config import EMBEDDING_PX, MAP_PX

PATCH_GRID = 32
"""Patches per side: 64 embedding cells, window 5, stride 2, padding 2."""
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
