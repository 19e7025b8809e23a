"""Coresets: the few patches of a bank that stand for all, chosen without an N x N matrix."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import UsageError
from ..protocols import Progress, no_progress

Method = Literal["greedy", "random", "stratified"]
METHODS: tuple[Method, ...] = ("greedy", "random", "stratified")


@dataclass(frozen=True)
class Choice:
    """How a coreset is chosen.

    Attributes:
        ratio: part of the rows that stays, in (0, 1]; 1 keeps all.
        method: "greedy" covers all rows, so rare normal patches stay; "random" and "stratified" (the same
            part of every place in the slice) take no time.
    """

    ratio: float = 1.0
    method: Method = "greedy"


_SPARE = 4
"""Each shard sends this many times its share to the second level."""


def n_kept(n_rows: int, ratio: float) -> int:
    """Return how many of `n_rows` rows a coreset ratio keeps; at least one.

    Raises:
        UsageError: the ratio is not in (0, 1].
    """
    if not 0 < ratio <= 1:
        raise UsageError(f"coreset ratio is {ratio}; give a number above 0 and up to 1 (1 keeps every patch)")
    return min(max(round(n_rows * ratio), 1), n_rows)


def random_coreset(n_rows: int, ratio: float, seed: int) -> AnyArray:
    """Return ascending row numbers (K,) drawn evenly."""
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(n_rows, n_kept(n_rows, ratio), replace=False))


def cells_of(places: AnyArray) -> AnyArray:
    """Return in which of 16 x 16 cells of the foreground's box each place (N, 3) lies, int (N,); -1 = unknown."""
    cells = np.floor(16 * np.nan_to_num(np.asarray(places[:, :2], np.float32))).astype(np.int64).clip(-32, 31)
    return np.where(np.isnan(places[:, 0]), -1, 64 * (cells[:, 1] + 32) + cells[:, 0] + 32)


def stratified_coreset(positions: AnyArray, ratio: float, seed: int) -> AnyArray:
    """Return ascending row numbers (K,) with the same part of every position.

    Args:
        positions: int (N,), where in the slice each row comes from.
    """
    generator = np.random.default_rng(seed)
    wanted = n_kept(len(positions), ratio)
    shuffled = generator.permutation(len(positions))
    order = shuffled[np.argsort(positions[shuffled], kind="stable")]
    _, starts, counts = np.unique(positions[order], return_index=True, return_counts=True)
    rank = (np.arange(len(order)) - np.repeat(starts, counts) + 0.5) / np.repeat(counts, counts)
    return np.sort(order[np.argsort(rank, kind="stable")[:wanted]])


PROJECTED_DIMENSION = 128
_TELL_EVERY = 256


def greedy_coreset(
    rows: FloatArray, ratio: float, seed: int, progress: Progress = no_progress, n_wanted: int = 0
) -> AnyArray:
    """Return row numbers (K,) in the order they were picked; the first is drawn from the seed.

    Memory grows with N, never with N x N: one distance per row is kept.

    Args:
        rows: (N, D); distances are taken after `projected`.
        n_wanted: keep this many instead of a part.
    """
    points = projected(rows, seed)
    points -= points.mean(axis=0)
    wanted = min(n_wanted, len(points)) or n_kept(len(points), ratio)
    picked = np.empty(wanted, np.int64)
    picked[0] = np.random.default_rng(seed).integers(len(points))
    nearest = np.full(len(points), np.inf, np.float32)
    norms = np.einsum("nd,nd->n", points, points)
    for place in range(1, wanted):
        center = picked[place - 1]
        distances = norms - 2 * (points @ points[center]) + norms[center]
        np.minimum(nearest, distances, out=nearest)
        nearest[center] = -np.inf
        picked[place] = nearest.argmax()
        if place % _TELL_EVERY == 0:
            progress("choosing patches", place, wanted)
    return picked


def projected(rows: FloatArray, seed: int) -> FloatArray:
    """Return rows (N, D) on at most 128 random directions, which keeps squared distances up to a few percent."""
    dimension = rows.shape[1]
    if dimension <= PROJECTED_DIMENSION:
        return np.array(rows, np.float32)
    drawn = np.random.default_rng([seed, dimension]).standard_normal((dimension, PROJECTED_DIMENSION))
    return np.asarray(rows @ (drawn / np.sqrt(PROJECTED_DIMENSION)).astype(np.float32), np.float32)


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
        points.append(projected(rows[local], seed))
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
        places: float (N, 3), see `MemoryBank.places`; only read by the stratified one.
    """
    method, ratio, n_rows = choice.method, choice.ratio, len(places)
    if ratio == 1:
        return np.arange(n_rows)
    if method == "greedy":
        return two_level_coreset(shards, n_rows, ratio, seed, progress)
    if method == "random":
        return random_coreset(n_rows, ratio, seed)
    if method == "stratified":
        return stratified_coreset(cells_of(places), ratio, seed)
    raise UsageError(f"coreset method '{method}' is unknown; choose one of {', '.join(METHODS)}")
