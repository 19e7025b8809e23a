"""Rows of one feature kind from several places, read by number or in order, never all at once."""

from __future__ import annotations

import functools
import os
import sys
import threading
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray, FloatArray
from ..errors import BankError

READ_ERRORS = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What NumPy raises for a damaged npy or npz file."""
LOW_DIMENSION = 64
"""Rows of so few numbers are kept as they are."""
CHUNK_ROWS = 4096
_LONGEST_GAP = 4096
"""Wanted rows of a file this many bytes apart are read in one go, with those between them."""
_BATCH_ROWS = 8192

ReadRows = Callable[[AnyArray], FloatArray]
"""Row numbers (N,) -> rows (N, D)."""
RowPart = tuple[int, ReadRows]
"""Some consecutive rows: how many, and a reader of float32 that counts from their first."""


@functools.cache
def faiss() -> Any:
    """Return Faiss, loaded when it is first needed."""
    import faiss

    if sys.platform == "darwin":
        faiss.omp_set_num_threads(1)  # its OpenMP and torch's cannot both run threads in one process on a Mac
    return faiss


class Rows:
    """Rows (M, D) of consecutive parts.

    Args:
        bounds: int64 (S + 1,), where each source begins and the last one ends.
    """

    def __init__(self, parts: Sequence[RowPart], dimension: int, bounds: AnyArray) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *(n_rows for n_rows, _ in parts)])
        self.dimension = dimension
        self.bounds = bounds

    def __len__(self) -> int:
        return int(self._starts[-1])

    def at(self, numbers: AnyArray) -> FloatArray:
        """Return the rows (N, D) of these numbers (N,)."""
        rows = np.empty((len(numbers), self.dimension), np.float32)
        for (n_rows, read), start in zip(self._parts, self._starts[:-1], strict=True):
            here = (numbers >= start) & (numbers < start + n_rows)
            if here.any():
                rows[here] = read(numbers[here] - start)
        return rows

    def chunks(self, first: int = 0, size: int = CHUNK_ROWS) -> Iterator[FloatArray]:
        """Yield the rows from number `first` on, in order, as float32 (<= size, D)."""
        for start in range(first, len(self), size):
            yield self.at(np.arange(start, min(start + size, len(self))))


def rows_of_array(array: AnyArray, bounds: AnyArray | None = None) -> Rows:
    """Return an array (M, D), or a memory map, as `Rows`; by default of a single source."""
    whole = np.array([0, len(array)]) if bounds is None else bounds
    return Rows([(len(array), lambda numbers: np.asarray(array[numbers], np.float32))], array.shape[1], whole)


def checked_rows(kind: str, rows: FloatArray) -> FloatArray:
    """Return rows as contiguous float32 (N, D).

    Raises:
        BankError: they are not two-dimensional or hold NaN or infinity.
    """
    array = np.ascontiguousarray(rows, np.float32)
    if array.ndim != 2:
        raise BankError(f"{kind} patches have shape {array.shape}; give rows (N, D)")
    if not np.isfinite(array).all():
        raise BankError(f"{kind} patches hold NaN or infinity; check the volume and the checkpoint")
    return array


class RowFile:
    """Rows (M, D) that lie one after another in a file, which stays open as long as this object lives.

    They are read, not mapped: pages of a map would count as memory, 64 KB for every row that is touched.
    """

    def __init__(self, path: Path, shape: tuple[int, int], dtype: npt.DTypeLike) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        self._file, self._lock = path.open("rb"), threading.Lock()
        weakref.finalize(self, self._file.close)
        self._row_bytes = shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: AnyArray) -> AnyArray:
        """Return the rows (N, D) of numbers (N,), in any order; threads may ask at once."""
        rows = np.empty((len(numbers), self.shape[1]), self.dtype)
        for start in range(0, len(numbers), _BATCH_ROWS):
            self._fill(rows[start : start + _BATCH_ROWS], numbers[start : start + _BATCH_ROWS])
        return rows

    def _fill(self, rows: AnyArray, numbers: AnyArray) -> None:
        order = np.argsort(numbers, kind="stable")
        ascending = numbers[order]
        breaks = np.flatnonzero(np.diff(ascending) * self._row_bytes > self._row_bytes + _LONGEST_GAP) + 1
        firsts = ascending[np.concatenate([[0], breaks])]
        lengths = ascending[np.concatenate([breaks - 1, [len(ascending) - 1]])] + 1 - firsts
        spans = zip((lengths * self._row_bytes).tolist(), (firsts * self._row_bytes).tolist(), strict=True)
        data = b"".join([self._read(count, place) for count, place in spans])
        run = np.searchsorted(firsts, ascending, side="right") - 1
        places = ascending - firsts[run] + (np.cumsum(lengths) - lengths)[run]
        rows[order] = np.frombuffer(data, self.dtype).reshape(-1, self.shape[1])[places]

    def _read(self, count: int, place: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, place)
        with self._lock:
            self._file.seek(place)
            return self._file.read(count)


def write_npy(path: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, chunks: Iterable[AnyArray]) -> None:
    """Write the chunks of an array as one npy file; a memory map would count as memory until it is closed."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype).data)


def to_half(rows: FloatArray) -> FloatArray:
    """Return rows as float16.

    Raises:
        BankError: a number is too large.
    """
    largest = float(np.finfo(np.float16).max)
    if rows.size and (found := float(np.abs(rows).max())) > largest:
        raise BankError(f"patches hold {found:g}, more than half precision can ({largest:g}); build uncompressed")
    return rows.astype(np.float16)


def squared_distances(queries: FloatArray, rows: FloatArray) -> FloatArray:
    """Return the squared L2 distance (Q,) of each query (Q, D) to the row beside it (Q, D).

    The difference is taken first: |q|^2 - 2 q.b + |b|^2 cancels for close neighbors.
    """
    difference = queries - rows
    return np.asarray(np.einsum("qd,qd->q", difference, difference), np.float32)
