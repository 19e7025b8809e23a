"""Patch features on one 32x32 grid: structure from the image embedding, intensity from the raster."""

from .embedding import patch_embeddings, pooling_kernels
from .grid import N_PATCHES, PATCH_GRID, patch_centers, patch_places
from .intensity import intensity_statistics

__all__ = [
    "N_PATCHES",
    "PATCH_GRID",
    "intensity_statistics",
    "patch_centers",
    "patch_embeddings",
    "patch_places",
    "pooling_kernels",
]
