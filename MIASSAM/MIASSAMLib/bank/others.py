"""Search the rows of a running build, all but some parts: how a held-out slice sees the other volumes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..arrays import AnyArray, FloatArray
from .flat import nearest_squared
from .proven import ReadRows, ShortRows, pays_off
from .spool import RowSpool


class OtherRows:
    """The rows of one kind that a build has stored so far."""

    def __init__(self, spool: RowSpool, kind: str, kept: AnyArray | None = None) -> None:
        """Take the spool and, when only some rows stay, their ascending numbers."""
        ends = np.cumsum([0, *(entry.rows[kind] for entry in spool.entries)])
        self._read: ReadRows = lambda numbers: spool.read(kind, numbers)
        if kept is not None:
            ends = np.searchsorted(kept, ends)
            self._read = lambda numbers: spool.read(kind, kept[numbers])
        self._ends = ends
        self.n_rows = int(ends[-1])
        long = pays_off(self.n_rows, spool.dimension(kind))
        self._short = ShortRows(self._read, self.n_rows) if long else None

    def search(self, queries: FloatArray, wanted: Sequence[bool]) -> FloatArray:
        """Return squared distances (Q,) to the nearest row of the wanted entries; infinite where none is wanted."""
        runs = self._runs(wanted)
        if not runs:
            return np.full(len(queries), np.inf, np.float32)
        if self._short is None:
            return self._search_all(queries, runs)
        distances, _, proven = self._short.search(queries, runs)
        if not proven.all():
            distances[~proven] = self._search_all(queries[~proven], runs)
        return distances

    def _runs(self, wanted: Sequence[bool]) -> list[tuple[int, int]]:
        """Return (start, stop) rows of the wanted entries, neighbors joined."""
        runs: list[tuple[int, int]] = []
        for flag, start, stop in zip(wanted, self._ends[:-1].tolist(), self._ends[1:].tolist(), strict=True):
            if not flag or stop == start:
                continue
            if runs and runs[-1][1] == start:
                start = runs.pop()[0]
            runs.append((start, stop))
        return runs

    def _search_all(self, queries: FloatArray, runs: list[tuple[int, int]], chunk_rows: int = 65536) -> FloatArray:
        best = np.full(len(queries), np.inf, np.float32)
        for first, last in runs:
            for start in range(first, last, chunk_rows):
                rows = self._read(np.arange(start, min(start + chunk_rows, last)))
                np.minimum(best, nearest_squared(queries, rows), out=best)
        return best
