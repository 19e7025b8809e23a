"""Greedy k-center for more rows than fit in memory: first in each shard, then among the chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import UsageError
from ..protocols import Progress, no_progress
from .cheap import n_kept, random_coreset, stratified_coreset
from .greedy import PROJECTED_DIMENSION, directions, greedy_coreset

Method = Literal["greedy", "random", "stratified"]
METHODS: tuple[Method, ...] = ("greedy", "random", "stratified")


@dataclass(frozen=True)
class Choice:
    """How a coreset is chosen.

    Attributes:
        ratio: part of the rows that stays, in (0, 1]; 1 keeps all.
        method: "greedy" covers all rows, so rare normal patches stay; "random" and "stratified" (the same
            part of every place of the patch grid) take no time.
    """

    ratio: float = 1.0
    method: Method = "greedy"


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
    choice: Choice, shards: Iterable[FloatArray], places: AnyArray, seed: int, progress: Progress = no_progress
) -> AnyArray:
    """Return ascending row numbers (K,) by a named method.

    Args:
        shards: rows (n, D) in order; only read by the greedy method.
        places: int (N,), where in the patch grid each row comes from; only read by the stratified one.
    """
    method, ratio, n_rows = choice.method, choice.ratio, len(places)
    if ratio == 1:
        return np.arange(n_rows)
    if method == "greedy":
        return two_level_coreset(shards, n_rows, ratio, seed, progress)
    if method == "random":
        return random_coreset(n_rows, ratio, seed)
    if method == "stratified":
        return stratified_coreset(places, ratio, seed)
    raise UsageError(f"coreset method '{method}' is unknown; choose one of {', '.join(METHODS)}")


def _projected(rows: FloatArray, seed: int) -> FloatArray:
    if rows.shape[1] <= PROJECTED_DIMENSION:
        return rows
    return np.asarray(rows @ directions(rows.shape[1], seed), np.float32)
