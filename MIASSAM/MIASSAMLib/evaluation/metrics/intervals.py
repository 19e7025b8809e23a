"""Bootstrap intervals by group: the patient, not the pixel, is what varies."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...arrays import DoubleArray

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
