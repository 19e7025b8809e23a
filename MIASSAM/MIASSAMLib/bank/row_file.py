"""Rows of a file, read by number. Pages of a memory map would count as memory, 64 KB for every row that is touched."""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray

_LONGEST_GAP = 4096
"""Wanted rows this many bytes apart are read in one go, with those between them."""
_BATCH_ROWS = 8192


class RowFile:
    """Rows (M, D) that lie one after another in a file, which stays open as long as this object lives."""

    def __init__(self, path: Path, shape: tuple[int, int], dtype: npt.DTypeLike, offset: int = 0) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        file = path.open("rb")
        weakref.finalize(self, file.close)
        self._read = _reader(file)
        self._offset = offset
        self._row_bytes = shape[1] * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, numbers: AnyArray) -> AnyArray:
        """Return the rows (N, D) of numbers (N,), in any order."""
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
        spans = zip(
            (firsts * self._row_bytes + self._offset).tolist(), (lengths * self._row_bytes).tolist(), strict=True
        )
        data = b"".join([self._read(count, place) for place, count in spans])
        run = np.searchsorted(firsts, ascending, side="right") - 1
        places = ascending - firsts[run] + (np.cumsum(lengths) - lengths)[run]
        rows[order] = np.frombuffer(data, self.dtype).reshape(-1, self.shape[1])[places]


def open_npy(path: Path) -> RowFile:
    """Return the rows of an npy file.

    Raises:
        OSError, ValueError: it is none, or is cut short.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except EOFError as error:
        raise ValueError(f"{path} is empty") from error
    if array.ndim != 2 or not isinstance(array, np.memmap):
        raise ValueError(f"{path} does not hold rows")
    return RowFile(path, array.shape, array.dtype, array.offset)


def _reader(file: BinaryIO) -> Callable[[int, int], bytes]:
    """Return read(count, place), which threads may call at once."""
    if hasattr(os, "pread"):
        return functools.partial(_read_at, file.fileno())
    return functools.partial(_seek_and_read, file, threading.Lock())


def _read_at(descriptor: int, count: int, place: int) -> bytes:
    return os.pread(descriptor, count, place)


def _seek_and_read(file: BinaryIO, lock: threading.Lock, count: int, place: int) -> bytes:
    with lock:
        file.seek(place)
        return file.read(count)
