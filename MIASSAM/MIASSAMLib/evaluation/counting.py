"""Counts that every figure follows from, in fixed memory: pixels per score bin, pixels per mask, lesions found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, DoubleArray
from ..errors import InputError

BITS = 18
"""Leading bits (sign, exponent, nine bits of mantissa) that number a bin: its width is 1/512 of its power of two.

A float32 read as an integer keeps its order, so that no range has to be known beforehand."""

_SIGN = np.uint32(1 << 31)


def score_bins(scores: AnyArray) -> npt.NDArray[np.uint32]:
    """Return the bin number of each score, flat; a higher score never has a lower bin.

    Raises:
        InputError: a score is not finite.
    """
    flat = np.ascontiguousarray(scores, dtype=np.float32).ravel() + np.float32(0.0)
    if not np.isfinite(flat).all():
        raise InputError("an anomaly map holds NaN or infinite scores; expected finite ones; the map cannot be scored")
    bits = flat.view(np.uint32)
    keys = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return np.asarray(keys >> np.uint32(32 - BITS), dtype=np.uint32)


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


COLUMNS = ("normal", "anomalous", "normal_inside", "anomalous_inside", "region_weight")
"""Pixels of either label, the same inside the organ, and the sum over pixels of 1 / size of their region."""


@dataclass(frozen=True)
class ScoreHistogram:
    """A sparse histogram of the pixels of some slices.

    Attributes:
        bins: uint32 (U,), ascending.
        counts: float64 (U, 5), columns as in COLUMNS.
        n_regions: connected anomalous regions counted into the last column.
    """

    bins: AnyArray
    counts: DoubleArray
    n_regions: int

    @classmethod
    def of_slice(
        cls, scores: AnyArray, truth: BoolArray, inside: BoolArray, counted: BoolArray | None = None
    ) -> ScoreHistogram:
        """Count one slice: scores, truth and organ (H, W); of its pixels only those `counted`, None = all."""
        weights, n_regions = region_weights(truth)
        chosen = slice(None) if counted is None else counted.ravel()
        bins = score_bins(scores)[chosen]
        if not len(bins):
            return cls(np.empty(0, np.uint32), np.empty((0, len(COLUMNS))), n_regions)
        first = int(bins.min())
        local = (bins - np.uint32(first)).astype(np.intp)
        anomalous, organ, weight = truth.ravel()[chosen], inside.ravel()[chosen], weights.ravel()[chosen]
        present = np.zeros(int(local.max()) + 1, bool)
        present[local] = True
        used, local = np.flatnonzero(present), np.cumsum(present)[local] - 1  # tables as long as the bins in use
        table = np.empty((len(used), len(COLUMNS)))
        for column, of in enumerate((~anomalous, anomalous, ~anomalous & organ, anomalous & organ)):
            table[:, column] = np.bincount(local[of], minlength=len(used))
        table[:, 4] = np.bincount(local[anomalous], weights=weight[anomalous], minlength=len(used))
        return cls((used + first).astype(np.uint32), table, n_regions)

    def column(self, name: str) -> DoubleArray:
        """Return one column of the counts, (U,)."""
        return np.asarray(self.counts[:, COLUMNS.index(name)])

    def coarser(self, bits: int) -> ScoreHistogram:
        """Return the same counts over bins of fewer leading bits, each bin once."""
        return _merged(self.bins >> np.uint32(BITS - bits), self.counts, self.n_regions)

    def joined(self, other: ScoreHistogram) -> ScoreHistogram:
        """Return the sum of two histograms of equal bins; memory follows the bins in use."""
        bins = np.concatenate([self.bins, other.bins])
        counts = np.concatenate([self.counts, other.counts])
        return _merged(bins, counts, self.n_regions + other.n_regions)


def _merged(bins: AnyArray, counts: AnyArray, n_regions: int) -> ScoreHistogram:
    unique, group = np.unique(bins, return_inverse=True)
    summed = np.zeros((len(unique), len(COLUMNS)))
    np.add.at(summed, group, counts)
    return ScoreHistogram(unique, summed, n_regions)


class PooledHistogram:
    """A dense histogram of every bin; its memory does not depend on the number of slices."""

    def __init__(self) -> None:
        """Start empty."""
        self._counts = np.zeros((1 << BITS, len(COLUMNS)))
        self.n_regions = 0

    def add(self, histogram: ScoreHistogram) -> None:
        """Add the counts of some slices."""
        np.add.at(self._counts, histogram.bins, histogram.counts)
        self.n_regions += histogram.n_regions

    def sparse(self) -> ScoreHistogram:
        """Return the bins that hold a pixel."""
        used = np.flatnonzero(self._counts[:, 0] + self._counts[:, 1])
        return ScoreHistogram(used.astype(np.uint32), self._counts[used], self.n_regions)


def dice(true: AnyArray, marked: AnyArray, anomalous: AnyArray) -> DoubleArray:
    """Return 2 |A and B| / (|A| + |B|); NaN where both are empty."""
    total = np.asarray(marked + anomalous, float)
    return np.asarray(np.divide(2.0 * true, total, out=np.full(total.shape, np.nan), where=total > 0))
