"""Bootstrap intervals by group: the patient, not the pixel, is what varies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arrays import DoubleArray

REPLICATES = 1000
_BATCH = 50


def group_weights(n_groups: int, replicates: int = REPLICATES, seed: int = 0) -> DoubleArray:
    """Return how often each group is drawn, (replicates, n_groups)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=replicates).astype(float)


def percentile_interval(
    statistic: Callable[[DoubleArray], DoubleArray], n_groups: int, replicates: int = REPLICATES, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a statistic of group weights.

    statistic: takes weights (B, G), returns (B,), NaN where a draw leaves it undefined.
    Returns None below two groups, or when half of the draws are undefined.
    """
    if n_groups < 2:
        return None
    weights = group_weights(n_groups, replicates, seed)
    values = np.concatenate([statistic(weights[n : n + _BATCH]) for n in range(0, replicates, _BATCH)])
    values = values[np.isfinite(values)]
    if len(values) < replicates / 2:
        return None
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)
