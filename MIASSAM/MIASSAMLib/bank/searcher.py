"""One interface for every way to find the nearest row, and the exact re-scoring they share."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..arrays import AnyArray, FloatArray


class RowSearcher(Protocol):
    """Finds the nearest stored row of each query.

    Attributes:
        n_rows, dimension: shape (M, D) of the stored rows.
    """

    n_rows: int
    dimension: int

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        ...

    def search(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """Return squared L2 distances (Q,) float32 and row numbers (Q,) int64 for queries (Q, D)."""
        ...

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """Return the stored rows (N, D) float32 of row numbers (N,)."""
        ...


def squared_distances(queries: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the squared L2 distance (Q,) of each query (Q, D) to the row beside it (Q, D).

    The difference is taken first: |q|^2 - 2 q.b + |b|^2 cancels for close neighbors.
    """
    difference = queries - rows
    return np.asarray(np.einsum("qd,qd->q", difference, difference), np.float32)
