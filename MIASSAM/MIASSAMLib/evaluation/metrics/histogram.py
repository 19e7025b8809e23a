"""Counts of normal and anomalous pixels per score bin: all a ranking metric needs, in fixed memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import AnyArray, BoolArray, DoubleArray
from .regions import region_weights
from .score_bins import BITS, score_bins

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
    def of_slice(cls, scores: AnyArray, truth: BoolArray, inside: BoolArray) -> ScoreHistogram:
        """Count one slice: scores (H, W), truth and organ masks bool (H, W)."""
        bins = score_bins(scores)
        first = int(bins.min())
        local = (bins - np.uint32(first)).astype(np.intp)
        anomalous, organ = truth.ravel(), inside.ravel()
        weights, n_regions = region_weights(truth)
        size = int(local.max()) + 1
        table = np.empty((size, len(COLUMNS)))
        for column, chosen in enumerate((~anomalous, anomalous, ~anomalous & organ, anomalous & organ)):
            table[:, column] = np.bincount(local[chosen], minlength=size)
        table[:, 4] = np.bincount(local[anomalous], weights=weights.ravel()[anomalous], minlength=size)
        used = np.flatnonzero(table[:, 0] + table[:, 1])
        return cls((used + first).astype(np.uint32), table[used], n_regions)

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
