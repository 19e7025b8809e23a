"""How rare a cluster is among held-out normal slices, those of its own depth in the body above all.

Normal slices at the end of an organ or at the base of the skull hold higher clusters than those in the middle. A
lesion there should not be measured against them, nor their clusters against the quiet middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import DoubleArray

_TAIL_QUANTILE = 0.8
_DEPTH_SIGMA = 0.2
_LEAST_WEIGHT = 0.02


@dataclass(frozen=True)
class NormalExtremes:
    """The highest and the heaviest cluster of each held-out normal slice.

    Attributes:
        peaks, masses: log1p of a slice's highest cluster and of its heaviest one (n,).
        depths: where each slice lay between the first and the last with foreground, 0 to 1 (n,).
    """

    peaks: DoubleArray
    masses: DoubleArray
    depths: DoubleArray

    def tail_probability(self, peak: float, mass: float, depth: float) -> float:
        """Return the share of normal slices expected to hold a cluster as high or as heavy as this one.

        Height finds small sharp lesions, mass finds large faint ones; normal slices have their own
        spread of either. The smaller probability counts, doubled for the two looks.
        """
        if not len(self.peaks):
            return 1.0
        weights = np.exp(-0.5 * ((self.depths - depth) / _DEPTH_SIGMA) ** 2) + _LEAST_WEIGHT
        peak_tail = _tail(np.log1p(max(peak, 0)), self.peaks, weights)
        return min(1.0, 2 * min(peak_tail, _tail(np.log1p(max(mass, 0)), self.masses, weights)))


def _tail(value: float, normal: DoubleArray, weights: DoubleArray) -> float:
    """Return the share of weighted normal values at least this large.

    Empirical below the 80th percentile; beyond it an exponential tail fitted to the exceedances
    (of logarithms, so a power law of the values), so that what exceeds every held-out slice still ranks.
    """
    order = np.argsort(normal)
    values, share = normal[order], weights[order] / weights.sum()
    start = float(values[min(int(np.searchsorted(np.cumsum(share), _TAIL_QUANTILE)), len(values) - 1)])
    if value <= start:
        n_effective = float(weights.sum() ** 2 / (weights**2).sum())
        return (n_effective * float(share[values >= value].sum()) + 1) / (n_effective + 1)
    beyond = values > start
    excess = float(np.average(values[beyond] - start, weights=share[beyond])) if beyond.any() else 0.0
    return float((1 - _TAIL_QUANTILE) * np.exp(-(value - start) / max(excess, 1e-3)))
