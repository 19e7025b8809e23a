"""Greedy k-center for more rows than fit in memory: first in each shard, then among the chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import UsageError
from ..protocols import Progress, no_progress
from .cheap import n_kept, random_coreset
from .greedy import PROJECTED_DIMENSION, directions, greedy_coreset

Method = Literal["greedy", "random"]
_SPARE = 4
"""Each shard sends this many times its share to the second level."""


def two_level_coreset(
    shards: Iterable[FloatArray], n_rows: int, ratio: float, seed: int, progress: Progress = no_progress
) -> AnyArray:
    """Return ascending row numbers (K,) over all shards.

    Args:
        shards: rows (n, D) in order, a shard at a time.
        n_rows: rows in all shards together.
    """
    chosen, points, start = [], [], 0
    for rows in shards:
        local = greedy_coreset(rows, min(_SPARE * ratio, 1), seed)
        chosen.append(local + start)
        points.append(_projected(rows[local], seed))
        start += len(rows)
        progress("choosing patches in shards", start, n_rows)
    union, numbers = np.concatenate(points), np.concatenate(chosen)
    picked = greedy_coreset(union, 1, seed, progress, n_wanted=n_kept(n_rows, ratio))
    return np.sort(numbers[picked])


def select_rows(
    method: Method,
    shards: Iterable[FloatArray],
    n_rows: int,
    ratio: float,
    seed: int,
    progress: Progress = no_progress,
) -> AnyArray:
    """Return ascending row numbers (K,) by a named method."""
    if ratio == 1:
        return np.arange(n_rows)
    if method == "greedy":
        return two_level_coreset(shards, n_rows, ratio, seed, progress)
    if method == "random":
        return random_coreset(n_rows, ratio, seed)
    raise UsageError(f"coreset method '{method}' is unknown; choose greedy or random")


def _projected(rows: FloatArray, seed: int) -> FloatArray:
    if rows.shape[1] <= PROJECTED_DIMENSION:
        return rows
    return np.asarray(rows @ directions(rows.shape[1], seed), np.float32)
