"""Search the rows of a running build, all but some parts: how a held-out slice sees the other volumes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..arrays import FloatArray
from .flat import nearest_squared
from .proven import ShortRows, pays_off
from .spool import RowSpool


class OtherRows:
    """The rows of one kind that a build has stored so far."""

    def __init__(self, spool: RowSpool, kind: str) -> None:
        self._spool, self._kind = spool, kind
        self.n_rows = spool.n_rows(kind)
        self._rows = spool.rows(kind)
        long = pays_off(self.n_rows, spool.dimension(kind))
        self._short = ShortRows(lambda numbers: spool.read(kind, numbers), self.n_rows) if long else None

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
        runs, start = [], 0
        for flag, group in itertools.groupby(zip(wanted, self._spool.entries, strict=True), key=lambda pair: pair[0]):
            stop = start + sum(entry.rows[self._kind] for _, entry in group)
            if flag and stop > start:
                runs.append((start, stop))
            start = stop
        return runs

    def _search_all(self, queries: FloatArray, runs: list[tuple[int, int]], chunk_rows: int = 65536) -> FloatArray:
        best = np.full(len(queries), np.inf, np.float32)
        for first, last in runs:
            for start in range(first, last, chunk_rows):
                rows = np.asarray(self._rows[start : min(start + chunk_rows, last)], np.float32)
                np.minimum(best, nearest_squared(queries, rows), out=best)
        return best
