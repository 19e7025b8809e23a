"""Connected regions of the truth: the unit of AUPRO and of lesion-wise sensitivity."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ...arrays import AnyArray, BoolArray, DoubleArray

MIN_LESION_PX = 10
"""Regions below this many pixels or voxels are specks of the label, not lesions."""
FOUND_SHARE = 0.1
"""A lesion is found when at least this share of it is marked."""


def label_regions(truth: BoolArray) -> tuple[AnyArray, int]:
    """Label connected regions of (H, W) or (K, J, I); pixels that touch at a corner are connected."""
    labels, n_regions = ndimage.label(truth, np.ones((3,) * truth.ndim, int))
    return labels, int(n_regions)


def region_weights(truth: BoolArray) -> tuple[DoubleArray, int]:
    """Return 1 / size of each pixel's region (0 outside) and the number of regions."""
    if not truth.any():
        return np.zeros(truth.shape), 0
    labels, n_regions = label_regions(truth)
    sizes = np.maximum(np.bincount(labels.ravel()), 1)
    weights = 1.0 / sizes
    weights[0] = 0.0
    return weights[labels], n_regions


class LesionCounter:
    """Tells how many lesions of one case a prediction finds; the truth is labeled once."""

    def __init__(self, truth: BoolArray) -> None:
        """Label the lesions of a case, (H, W) or (K, J, I); specks are left out."""
        self._labels, n_regions = label_regions(truth)
        self._sizes = np.bincount(self._labels[truth], minlength=n_regions + 1)
        self._kept = np.flatnonzero(self._sizes >= MIN_LESION_PX)
        self._truth = truth
        self.n_lesions = len(self._kept)
        self.sizes = self._sizes[self._kept]

    def n_found(self, prediction: BoolArray) -> int:
        """Return how many lesions are marked by at least a tenth."""
        marked = np.bincount(self._labels[self._truth & prediction], minlength=len(self._sizes))
        return n_found(marked[self._kept], self.sizes)

    def score_counts(self, bins: AnyArray) -> AnyArray:
        """Return int64 (V, 3): lesion number from 0, score bin, voxels; bins has the truth's shape."""
        number_of = np.full(len(self._sizes), -1, np.int64)
        number_of[self._kept] = np.arange(self.n_lesions)
        numbers = number_of[self._labels[self._truth]]
        pairs = np.stack([numbers, bins[self._truth].astype(np.int64)], 1)[numbers >= 0]
        unique, counts = np.unique(pairs, axis=0, return_counts=True)
        return np.concatenate([unique.reshape(-1, 2), counts.reshape(-1, 1)], 1)


def n_found(marked: AnyArray, sizes: AnyArray) -> int:
    """Return how many lesions of `sizes` voxels have a tenth of them marked."""
    return int((marked >= FOUND_SHARE * sizes).sum())
