"""Counts of a mask against the truth, slice by slice, and the Dice figures that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import AnyArray, BoolArray, DoubleArray


@dataclass(frozen=True)
class SliceCounts:
    """Pixels of one or more slices, int64 (S,).

    Attributes:
        true: marked and anomalous.
        marked: marked.
        anomalous: anomalous.
        pixels: all original pixels.
    """

    true: AnyArray
    marked: AnyArray
    anomalous: AnyArray
    pixels: AnyArray

    @classmethod
    def of(cls, prediction: BoolArray, truth: BoolArray) -> SliceCounts:
        """Count masks (S, H, W)."""
        axes = (1, 2)
        true = np.count_nonzero(prediction & truth, axis=axes)
        marked, anomalous = (np.count_nonzero(mask, axis=axes) for mask in (prediction, truth))
        return cls(true, marked, anomalous, np.full(len(truth), truth[0].size))

    def dice(self) -> DoubleArray:
        """Return Dice per slice; NaN where neither mask has a pixel."""
        return dice(self.true, self.marked, self.anomalous)

    @property
    def is_anomalous(self) -> BoolArray:
        """Which slices hold an anomalous pixel."""
        return np.asarray(self.anomalous > 0)


def dice(true: AnyArray, marked: AnyArray, anomalous: AnyArray) -> DoubleArray:
    """Return 2 |A and B| / (|A| + |B|); NaN where both are empty."""
    total = np.asarray(marked + anomalous, float)
    return np.asarray(np.divide(2.0 * true, total, out=np.full(total.shape, np.nan), where=total > 0))
