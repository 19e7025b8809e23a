"""Exact nearest rows in a fraction of the work: a short projection proves which rows cannot be nearest.

Patch embeddings are strongly low-rank. Each row x is kept as its coordinates on the leading
principal axes and the length of what is left over; the distance between two such short rows is
never larger than the true distance. So once a true distance is known, every row whose short
distance exceeds it is out, and the few others are compared in full. The answer is the exact
nearest neighbor (up to float32 rounding), not an approximation; a query that cannot be proven is
searched by brute force.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray
from .searcher import squared_distances

AXES = 63
"""Principal axes kept; with the length of the rest a short row has 64 numbers."""
MIN_DIMENSION = 256
MIN_ROWS = 4096
_SAMPLE_ROWS = 8192
_CANDIDATES = 16
_ROUNDING = 1e-4
"""Relative room for float32 rounding in a proof."""

ReadRows = Callable[[AnyArray], FloatArray]


@dataclass(frozen=True)
class Projection:
    """The map from rows (N, D) to short rows (N, AXES + 1)."""

    mean: FloatArray
    axes: FloatArray

    @classmethod
    def fit(cls, rows: FloatArray) -> Projection:
        """Fit the axes to a sample of rows (S, D)."""
        mean = rows.mean(0)
        covariance = np.cov((rows - mean).T)
        _, vectors = np.linalg.eigh(covariance)
        return cls(mean, np.ascontiguousarray(vectors[:, ::-1][:, :AXES], np.float32))

    def shorten(self, rows: FloatArray) -> FloatArray:
        """Return short rows: coordinates on the axes, and the length of what they leave out."""
        centered = rows - self.mean
        coordinates = centered @ self.axes
        rest = np.einsum("nd,nd->n", centered, centered) - np.einsum("nd,nd->n", coordinates, coordinates)
        return np.concatenate([coordinates, np.sqrt(np.maximum(rest, 0))[:, None]], 1).astype(np.float32)


def pays_off(n_rows: int, dimension: int) -> bool:
    """Tell whether a projection is worth its making for a bank of this size."""
    return dimension >= MIN_DIMENSION and n_rows >= MIN_ROWS


def sample_numbers(n_rows: int) -> AnyArray:
    """Return the evenly spread row numbers a projection is fitted to."""
    return np.unique(np.linspace(0, n_rows - 1, min(n_rows, _SAMPLE_ROWS)).astype(np.int64))


def prove_nearest(
    queries: FloatArray, bounds: FloatArray, candidates: AnyArray, read: ReadRows
) -> tuple[FloatArray, AnyArray, AnyArray]:
    """Compare candidates in full and tell which queries are proven.

    Args:
        queries: float32 (Q, D).
        bounds: lower bounds (Q, C) of the squared distance to each candidate, ascending.
        candidates: row numbers (Q, C); -1 where there are fewer.

    Returns squared distances (Q,), row numbers (Q,) and whether no other row can be nearer (Q,).
    """
    winners = candidates[:, 0].copy()
    best = squared_distances(queries, read(winners))
    room = 1 + _ROUNDING
    for column in range(1, candidates.shape[1]):
        open_ = (bounds[:, column] < best * room) & (candidates[:, column] >= 0)
        if not open_.any():
            return best, winners, np.ones(len(queries), bool)
        rows = np.flatnonzero(open_)
        distances = squared_distances(queries[rows], read(candidates[rows, column]))
        nearer = distances < best[rows]
        best[rows[nearer]] = distances[nearer]
        winners[rows[nearer]] = candidates[rows[nearer], column]
    exhausted = candidates[:, -1] < 0
    return best, winners, exhausted | (bounds[:, -1] >= best * room)


class ShortRows:
    """Short rows of a whole bank, searched for candidates.

    Args:
        read: row numbers (N,) -> rows (N, D).
        n_rows: rows of the bank.
        brute: exact search of queries for those that cannot be proven.
    """

    def __init__(self, read: ReadRows, n_rows: int, chunk_rows: int = 32768) -> None:
        self.projection = Projection.fit(read(sample_numbers(n_rows)))
        self._read = read
        self.rows = np.empty((n_rows, AXES + 1), np.float32)
        for start in range(0, n_rows, chunk_rows):
            stop = min(start + chunk_rows, n_rows)
            self.rows[start:stop] = self.projection.shorten(read(np.arange(start, stop)))

    def search(
        self, queries: FloatArray, runs: list[tuple[int, int]] | None = None
    ) -> tuple[FloatArray, AnyArray, AnyArray]:
        """Return squared distances (Q,), row numbers (Q,) and which are proven (Q,).

        runs: (start, stop) of the rows that count; None = all.
        """
        short = self.projection.shorten(queries)
        bounds, candidates = _candidates(short, self.rows, runs or [(0, len(self.rows))])
        return prove_nearest(queries, bounds, candidates, self._read)


def _candidates(short: FloatArray, rows: FloatArray, runs: list[tuple[int, int]]) -> tuple[FloatArray, AnyArray]:
    import faiss

    found, numbers = [], []
    for start, stop in runs:
        bounds, nearest = faiss.knn(short, rows[start:stop], min(_CANDIDATES, stop - start))
        found.append(bounds)
        numbers.append(nearest + start)
    bounds, candidates = np.concatenate(found, 1), np.concatenate(numbers, 1)
    order = np.argsort(bounds, axis=1, kind="stable")[:, :_CANDIDATES]
    return np.take_along_axis(bounds, order, 1), np.take_along_axis(candidates, order, 1)
