"""The patch grid: where patch i is, in the frame."""

from __future__ import annotations

import numpy as np

from ..arrays import DoubleArray
from ..config import EMBEDDING_PX

PATCH_GRID = 32
"""Patches per side: 64 embedding cells, window 5, stride 2, padding 2."""
N_PATCHES = PATCH_GRID * PATCH_GRID


def patch_centers(side_px: int) -> DoubleArray:
    """Return the pixel coordinates of the patch centers along one side of a raster of side_px.

    Patch i is centered on embedding cell 2 i, that is on (32 i + 7.5) px of 1024.
    """
    cell_px = side_px / EMBEDDING_PX
    return np.asarray((2 * np.arange(PATCH_GRID) + 0.5) * cell_px - 0.5)
