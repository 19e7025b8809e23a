"""Threshold-free metrics from binned counts, each with the bound of its binning error, and bootstrap intervals.

All metrics take counts per bin in ascending order of score along the last axis; leading axes are independent
(bootstrap replicates). A metric that is undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, DoubleArray

FPR_LIMIT = 0.3
"""Upper false-positive rate of AUPRO (MVTec AD)."""


@dataclass(frozen=True)
class Estimate:
    """A metric and how far binning can have moved it.

    Attributes:
        value: the metric, float or array of replicates.
        lower, upper: the metric lies between them, whatever the order within each bin.
    """

    value: DoubleArray
    lower: DoubleArray
    upper: DoubleArray

    @property
    def error_bound(self) -> DoubleArray:
        """Largest distance of the true metric from the value."""
        return np.asarray(np.maximum(self.upper - self.value, self.value - self.lower))


def auroc(normal: AnyArray, anomalous: AnyArray) -> Estimate:
    """Return the area under the ROC curve; ties count one half."""
    below = np.cumsum(normal, -1) - normal
    pairs = _ratio_base(np.asarray(normal.sum(-1) * anomalous.sum(-1)))
    half = 0.5 * (anomalous * normal).sum(-1) / pairs
    value = (anomalous * below).sum(-1) / pairs + half
    return Estimate(np.asarray(value), np.asarray(value - half), np.asarray(value + half))


def average_precision(normal: AnyArray, anomalous: AnyArray) -> Estimate:
    """Return the average precision (step-wise, as scikit-learn does)."""
    false, true = _from_above(normal), _from_above(anomalous)
    false_before, true_before = false - normal, true - anomalous
    positives = _ratio_base(np.asarray(anomalous.sum(-1)))

    def mean_of(precision: DoubleArray) -> DoubleArray:
        return np.asarray((anomalous * np.nan_to_num(precision)).sum(-1) / positives)

    with np.errstate(invalid="ignore", divide="ignore"):
        value = mean_of(true / (true + false))
        upper = mean_of(true / (true + false_before))
        first = np.minimum(true_before + 1, true)
        lower = mean_of(first / (first + false))
    return Estimate(value, lower, upper)


def aupro(normal: AnyArray, region_weight: AnyArray, n_regions: AnyArray, limit: float = FPR_LIMIT) -> Estimate:
    """Return the area under per-region overlap against false-positive rate, up to `limit`, over `limit`.

    region_weight: per bin, the sum over anomalous pixels of 1 / size of their region.
    """
    rate = _curve(normal, np.asarray(normal.sum(-1)))
    overlap = _curve(region_weight, np.asarray(n_regions, float))
    start, stop = np.minimum(rate[..., :-1], limit), np.minimum(rate[..., 1:], limit)
    width, full = stop - start, rate[..., 1:] - rate[..., :-1]
    low, high = overlap[..., :-1], overlap[..., 1:]
    share = np.divide(width, full, out=np.zeros_like(width), where=full > 0)
    reached = low + (high - low) * share
    areas = [(width * side).sum(-1) / limit for side in ((low + reached) / 2, low, high)]
    return Estimate(*(np.asarray(area) for area in areas))


def best_dice_bin(normal: AnyArray, anomalous: AnyArray) -> int:
    """Return the index of the bin at and above which the pooled Dice is highest."""
    true, false = _from_above(anomalous), _from_above(normal)
    return int(np.argmax(2 * true / np.maximum(true + false + anomalous.sum(), 1)))


def _from_above(counts: AnyArray) -> DoubleArray:
    return np.asarray(np.cumsum(counts[..., ::-1], -1, dtype=float)[..., ::-1])


def _curve(counts: AnyArray, total: DoubleArray) -> DoubleArray:
    """Return the share reached when the cut falls bin by bin, from 0, shape (..., U + 1)."""
    shares = np.cumsum(counts[..., ::-1], -1) / _ratio_base(total)[..., None]
    return np.concatenate([np.zeros((*shares.shape[:-1], 1)), shares], -1)


def _ratio_base(total: DoubleArray) -> DoubleArray:
    return np.asarray(np.where(total > 0, total, np.nan))


REPLICATES = 1000
_BATCH = 20


def group_weights(n_groups: int, replicates: int = REPLICATES, seed: int = 0) -> DoubleArray:
    """Return how often each group is drawn, (replicates, n_groups)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=replicates).astype(float)


def percentile_interval(
    statistics: Callable[[DoubleArray], DoubleArray], n_groups: int, replicates: int = REPLICATES, seed: int = 0
) -> list[list[float] | None] | None:
    """Return the 95 % percentile interval of each statistic of group weights.

    statistics: takes weights (B, G), returns (B, N), NaN where a draw leaves a statistic undefined.
    Returns None below two groups; None for a statistic that half of the draws leave undefined.
    """
    if n_groups < 2:
        return None
    weights = group_weights(n_groups, replicates, seed)
    values = np.concatenate([statistics(weights[n : n + _BATCH]) for n in range(0, replicates, _BATCH)])
    return [_interval(column) for column in values.T]


def _interval(values: DoubleArray) -> list[float] | None:
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2:
        return None
    return [float(edge) for edge in np.percentile(known, [2.5, 97.5])]
