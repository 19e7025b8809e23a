"""Rows of one feature kind from several places, read by number or in order, never all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, FloatArray

CHUNK_ROWS = 4096


@dataclass(frozen=True)
class RowPart:
    """Some consecutive rows: how many, and a reader that takes row numbers (N,) to float32 (N, D)."""

    n_rows: int
    read: Callable[[AnyArray], FloatArray]


class Rows:
    """Rows (M, D) of consecutive parts.

    Args:
        bounds: int64 (S + 1,), where each source begins and the last one ends.
    """

    def __init__(self, parts: Sequence[RowPart], dimension: int, bounds: AnyArray) -> None:
        self._parts = parts
        self._starts = np.concatenate([[0], np.cumsum([part.n_rows for part in parts])]).astype(np.int64)
        self.dimension = dimension
        self.bounds = bounds

    def __len__(self) -> int:
        return int(self._starts[-1])

    def at(self, numbers: AnyArray) -> FloatArray:
        """Return the rows (N, D) of these numbers (N,)."""
        rows = np.empty((len(numbers), self.dimension), np.float32)
        for part, start, stop in zip(self._parts, self._starts[:-1], self._starts[1:], strict=True):
            here = (numbers >= start) & (numbers < stop)
            if here.any():
                rows[here] = part.read(numbers[here] - start)
        return rows

    def chunks(self, first: int = 0, size: int = CHUNK_ROWS) -> Iterator[FloatArray]:
        """Yield the rows from number `first` on, in order, as float32 (<= size, D)."""
        for start in range(first, len(self), size):
            yield self.at(np.arange(start, min(start + size, len(self))))


def rows_of_array(array: AnyArray, bounds: AnyArray | None = None) -> Rows:
    """Return an array (M, D), or a memory map, as `Rows`; by default of a single source."""
    whole = np.array([0, len(array)]) if bounds is None else bounds
    part = RowPart(len(array), lambda numbers: np.asarray(array[numbers], np.float32))
    return Rows([part], array.shape[1], whole)
