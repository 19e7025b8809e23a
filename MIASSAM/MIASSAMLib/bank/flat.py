"""Exact search by Faiss's flat index on float32 rows."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from .proven import MIN_ROWS, ShortRows, pays_off
from .searcher import squared_distances

_TREE_DIMENSION = 12


class FlatSearcher:
    """Exact nearest rows; long rows are first narrowed down by a projection that proves what is not nearest."""

    def __init__(self, index: Any, device: str = "cpu") -> None:
        self._index = index
        self._on_card = _copy_to_card(index) if device == "auto" or device.startswith("cuda") else None
        self.name = "faiss flat" if self._on_card is None else "faiss flat on the graphics card"
        self.n_rows = int(index.ntotal)
        self.dimension = int(index.d)
        self._short: ShortRows | None = None
        self._tree: Any = None

    def search(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`."""
        if self._on_card is None and self.dimension <= _TREE_DIMENSION and self.n_rows >= MIN_ROWS:
            return self._search_tree(queries)
        if self._on_card is not None or not pays_off(self.n_rows, self.dimension):
            return self._search_all(queries)
        if self._short is None:
            self._short = ShortRows(self.rows_at, self.n_rows)
        distances, winners, proven = self._short.search(queries)
        if not proven.all():
            distances[~proven], winners[~proven] = self._search_all(queries[~proven])
        return distances, winners

    def _search_tree(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """Search a k-d tree, exact as well and far quicker for a handful of numbers a row."""
        if self._tree is None:
            from scipy.spatial import cKDTree

            self._tree = cKDTree(self.rows_at(np.arange(self.n_rows)))
        _, winners = self._tree.query(queries)
        return squared_distances(queries, self.rows_at(winners)), winners

    def _search_all(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        _, neighbors = (self._on_card or self._index).search(queries, 1)
        winners = neighbors[:, 0]
        return squared_distances(queries, self.rows_at(winners)), winners

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """See `RowSearcher.rows_at`."""
        return np.asarray(self._index.reconstruct_batch(np.ascontiguousarray(numbers, np.int64)))


def flat_searcher_of(rows: FloatArray) -> FlatSearcher:
    """Return an exact searcher over rows (M, D) in memory."""
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(np.ascontiguousarray(rows, np.float32))
    return FlatSearcher(index)


def write_flat(path: Path, shape: tuple[int, int], chunks: Iterable[FloatArray]) -> None:
    """Write the rows (M, D) of all chunks as the file of a Faiss IndexFlatL2, without holding them in memory."""
    import faiss

    faiss.write_index(faiss.IndexFlatL2(shape[1]), str(path))
    header = _with_counts(path.read_bytes(), *shape)
    with path.open("wb") as file:
        file.write(header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, "<f4").data)


def _with_counts(empty: bytes, n_rows: int, dimension: int) -> bytes:
    """Return the file of an empty index with its two counts filled in.

    Byte 8: rows as int64; the last 8 bytes: numbers as uint64. (Faiss could also give these bytes without
    a file, but not in a process that has loaded SimpleITK first: their bindings share a table of types.)
    """
    return empty[:8] + struct.pack("<q", n_rows) + empty[16:-8] + struct.pack("<Q", n_rows * dimension)


def nearest_squared(queries: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the squared distance (Q,) of queries (Q, D) to the nearest of rows (M, D), without an index."""
    import faiss

    _, neighbors = faiss.knn(np.ascontiguousarray(queries, np.float32), rows, 1)
    return squared_distances(queries, rows[neighbors[:, 0]])


def load_flat(path: Path, device: str = "cpu") -> FlatSearcher:
    """Open a file written by `write_flat`.

    Raises:
        BankError: Faiss cannot read it.
    """
    import faiss

    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:
        raise BankError(f"{path} cannot be read as a Faiss index; restore or rebuild the bank") from error
    if not isinstance(index, faiss.IndexFlatL2 | faiss.IndexFlat):
        raise BankError(f"{path} holds a {type(index).__name__}, not a flat index; restore or rebuild the bank")
    return FlatSearcher(index, device)


def _copy_to_card(index: Any) -> Any:
    """Return the index on the graphics card; None where this build of Faiss has none or it does not fit."""
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        return None
    try:
        return faiss.index_cpu_to_all_gpus(index)
    except RuntimeError:
        return None
