"""Exact nearest rows: Faiss's flat index, and a short projection that proves which rows cannot be nearest.

Patch embeddings are strongly low-rank. Each row is kept as its coordinates on the leading principal axes
and the length of what is left over; the distance of two such short rows is never larger than the true one.
So once a true distance is known, every row whose short distance exceeds it is out, and the few others are
compared in full (docs/adr/0002). A query that cannot be proven is searched by brute force.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from .rows import ReadRows, faiss, squared_distances

MIN_ROWS = 4096
_MIN_DIMENSION = 256
_TREE_DIMENSION = 12
_AXES = 31
_CANDIDATES = 32
_SAMPLE_ROWS = 8192
_CHUNK_ROWS = 32768
_ROUNDING = 1e-4
"""Relative room for float32 rounding in a proof."""

Runs = Sequence[tuple[int, int]]
"""(start, stop) of the rows that count."""


class ShortRows:
    """Rows (M, D) as short rows (M, 32), searched for candidates that are then compared in full."""

    def __init__(self, read: ReadRows, n_rows: int) -> None:
        sample = read(np.unique(np.linspace(0, n_rows - 1, min(n_rows, _SAMPLE_ROWS)).astype(np.int64)))
        self._read, self._mean = read, sample.mean(0)
        _, vectors = np.linalg.eigh(np.cov((sample - self._mean).T))
        self._axes = np.ascontiguousarray(vectors[:, ::-1][:, :_AXES], np.float32)
        self.rows = np.empty((n_rows, _AXES + 1), np.float32)
        for start in range(0, n_rows, _CHUNK_ROWS):
            stop = min(start + _CHUNK_ROWS, n_rows)
            self.rows[start:stop] = self.shorten(read(np.arange(start, stop)))

    def shorten(self, rows: FloatArray) -> FloatArray:
        """Return short rows: coordinates on the axes, and the length of what they leave out."""
        centered = rows - self._mean
        coordinates = centered @ self._axes
        rest = np.einsum("nd,nd->n", centered, centered) - np.einsum("nd,nd->n", coordinates, coordinates)
        return np.concatenate([coordinates, np.sqrt(np.maximum(rest, 0))[:, None]], 1).astype(np.float32)

    def search(self, queries: FloatArray, runs: Runs | None = None) -> tuple[FloatArray, AnyArray, AnyArray]:
        """Return squared distances (Q,), row numbers (Q,) and which are proven (Q,); `runs`: None = all rows."""
        short, found, numbers = self.shorten(queries), [], []
        for start, stop in runs or [(0, len(self.rows))]:
            bounds, nearest = faiss().knn(short, self.rows[start:stop], min(_CANDIDATES, stop - start))
            found.append(bounds)
            numbers.append(nearest + start)
        bounds, candidates = np.concatenate(found, 1), np.concatenate(numbers, 1)
        order = np.argsort(bounds, axis=1, kind="stable")[:, :_CANDIDATES]
        return self._prove(queries, np.take_along_axis(bounds, order, 1), np.take_along_axis(candidates, order, 1))

    def _prove(
        self, queries: FloatArray, bounds: FloatArray, candidates: AnyArray
    ) -> tuple[FloatArray, AnyArray, AnyArray]:
        """Compare candidates (Q, C) in full, nearest first; `bounds` never exceed their squared distances."""
        winners = candidates[:, 0].copy()
        best = squared_distances(queries, self._read(winners))
        for column in range(1, candidates.shape[1]):
            rows = np.flatnonzero(bounds[:, column] < best * (1 + _ROUNDING))
            if not len(rows):
                return best, winners, np.ones(len(queries), bool)
            distances = squared_distances(queries[rows], self._read(candidates[rows, column]))
            nearer = distances < best[rows]
            best[rows[nearer]] = distances[nearer]
            winners[rows[nearer]] = candidates[rows[nearer], column]
        is_all = candidates.shape[1] < _CANDIDATES
        return best, winners, is_all | (bounds[:, -1] >= best * (1 + _ROUNDING))


class ExactRows:
    """Rows (M, D) behind a reader, searched exactly: through short rows where these pay, else all of them."""

    def __init__(self, read: ReadRows, n_rows: int, dimension: int) -> None:
        self.rows_at, self.n_rows, self.dimension = read, n_rows, dimension
        self._short: ShortRows | None = None

    def search(self, queries: FloatArray, runs: Runs | None = None) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`; `runs`: the rows that count, None = all. Infinite and -1 where there are none."""
        runs = [(0, self.n_rows)] if runs is None else runs
        if not runs or self.n_rows < MIN_ROWS or self.dimension < _MIN_DIMENSION:
            return self._search_all(queries, runs)
        self._short = self._short or ShortRows(self.rows_at, self.n_rows)
        distances, winners, proven = self._short.search(queries, runs)
        if not proven.all():
            distances[~proven], winners[~proven] = self._search_all(queries[~proven], runs)
        return distances, winners

    def _search_all(self, queries: FloatArray, runs: Runs) -> tuple[FloatArray, AnyArray]:
        best, winners = np.full(len(queries), np.inf, np.float32), np.full(len(queries), -1, np.int64)
        for first, last in runs:
            for start in range(first, last, _CHUNK_ROWS):
                rows = self.rows_at(np.arange(start, min(start + _CHUNK_ROWS, last)))
                nearest = faiss().knn(queries, rows, 1)[1][:, 0]
                distances = squared_distances(queries, rows[nearest])
                nearer = distances < best
                best[nearer], winners[nearer] = distances[nearer], nearest[nearer] + start
        return best, winners


class FlatSearcher(ExactRows):
    """Exact nearest rows of a Faiss flat index, by the graphics card or, with few numbers a row, by a k-d tree."""

    def __init__(self, index: Any, device: str = "cpu") -> None:
        super().__init__(index.reconstruct_batch, int(index.ntotal), int(index.d))
        self._on_card = _copy_to_card(index) if device == "auto" or device.startswith("cuda") else None
        self.name = "faiss flat" if self._on_card is None else "faiss flat on the graphics card"
        self._tree: Any = None

    def search(self, queries: FloatArray, runs: Runs | None = None) -> tuple[FloatArray, AnyArray]:
        """See `ExactRows.search`."""
        if runs is None and self._on_card is not None:
            winners = self._on_card.search(queries, 1)[1][:, 0]
        elif runs is None and self.dimension <= _TREE_DIMENSION and self.n_rows >= MIN_ROWS:
            winners = self._in_tree(queries)
        else:
            return super().search(queries, runs)
        return squared_distances(queries, self.rows_at(winners)), winners

    def _in_tree(self, queries: FloatArray) -> AnyArray:
        if self._tree is None:
            from scipy.spatial import cKDTree

            self._tree = cKDTree(self.rows_at(np.arange(self.n_rows)))
        return np.asarray(self._tree.query(queries)[1])


class OtherRows(ExactRows):
    """The rows of a running build, searched all but some parts: how a held-out slice sees the other volumes.

    Args:
        counts: rows of each part, in order.
    """

    def __init__(self, read: ReadRows, counts: Sequence[int], dimension: int) -> None:
        self._ends = np.cumsum([0, *counts])
        super().__init__(read, int(self._ends[-1]), dimension)

    def search_parts(self, queries: FloatArray, wanted: Sequence[bool]) -> FloatArray:
        """Return squared distances (Q,) to the nearest row of the wanted parts; infinite where none is wanted."""
        turns = np.flatnonzero(np.diff(np.array([0, *wanted, 0], np.int8)))
        runs = self._ends[turns].reshape(-1, 2).tolist()
        return self.search(queries, [(start, stop) for start, stop in runs if start < stop])[0]


def flat_searcher_of(rows: FloatArray) -> FlatSearcher:
    """Return an exact searcher over rows (M, D) in memory."""
    index = faiss().IndexFlatL2(rows.shape[1])
    index.add(rows)
    return FlatSearcher(index)


def write_flat(path: Path, shape: tuple[int, int], chunks: Iterable[FloatArray]) -> None:
    """Write the rows (M, D) of all chunks as the file of a Faiss IndexFlatL2."""
    faiss().write_index(faiss().IndexFlatL2(shape[1]), str(path))
    write_codes(path, path.read_bytes(), shape[1], shape[0], chunks)


def write_codes(path: Path, header: bytes, n_numbers: int, n_rows: int, chunks: Iterable[AnyArray]) -> None:
    """Write rows as the file of a Faiss flat or scalar index, without holding them in memory.

    The file of an empty index gets its two counts: byte 8, rows as int64; the last 8 bytes, numbers as uint64.
    (Faiss could also give these bytes without a file, but not in a process that has loaded SimpleITK first:
    their bindings share a table of types.)

    Args:
        header: the file of such an index, without the rows.
        n_numbers: numbers of a row, float32 or codes of a byte.
        chunks: the rows, in order.
    """
    with path.open("wb") as file:
        file.write(header[:8] + struct.pack("<q", n_rows) + header[16:-8] + struct.pack("<Q", n_rows * n_numbers))
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).data)


def load_flat(path: Path, device: str = "cpu") -> FlatSearcher:
    """Open a file written by `write_flat`.

    Raises:
        BankError: Faiss cannot read it.
    """
    index = read_index(path)
    if not isinstance(index, faiss().IndexFlatL2 | faiss().IndexFlat):
        raise BankError(f"{path} holds a {type(index).__name__}, not a flat index; restore or rebuild the bank")
    return FlatSearcher(index, device)


def read_index(path: Path, is_mapped: bool = False) -> Any:
    """Return the Faiss index of a file; `is_mapped`: its codes stay there.

    Raises:
        BankError: Faiss cannot read it.
    """
    try:
        return faiss().read_index(str(path), faiss().IO_FLAG_MMAP_IFC if is_mapped else 0)
    except (RuntimeError, MemoryError) as error:
        raise BankError(f"{path} cannot be read as a Faiss index; restore or rebuild the bank") from error


def _copy_to_card(index: Any) -> Any:
    """Return the index on the graphics card; None where this build of Faiss has none or it does not fit."""
    if not hasattr(faiss(), "StandardGpuResources") or not faiss().get_num_gpus():
        return None
    try:
        return faiss().index_cpu_to_all_gpus(index)
    except RuntimeError:
        return None
