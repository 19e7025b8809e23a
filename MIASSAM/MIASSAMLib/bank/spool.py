"""The rows of a running build on disk: appended, journaled, resumed after a kill at any point."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from .rows import RowFile, to_half

_JOURNAL = "journal.jsonl"
_PLACES = ".places"
"""Ends the name of the column that holds the places (N, 3) of a kind's rows."""
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class Entry:
    """One `append`: its key and source and, per column (a kind, or its places), rows, dimension and checksum."""

    key: str
    source: str
    digest: str
    n_slices: int
    rows: dict[str, int] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    crc32: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class StoredPart:
    """One `add`: its source, which slice of it, and rows per kind."""

    source: str
    part: int | None
    n_rows: Mapping[str, int]


class RowSpool:
    """Raw row files, one per column, and a journal that says how much of them is sound.

    A journal line is written after its rows; what a kill leaves behind the last line is cut off.
    """

    def __init__(self, folder: Path, dtype_of: Callable[[int], str]) -> None:
        """Take the folder and a rule from a row's length D to the stored type."""
        self._folder = folder
        self._dtype_of = dtype_of
        self.entries: list[Entry] = []
        self._keys: dict[str, set[str]] = {}
        self._totals: dict[str, int] = {}

    def open(self) -> None:
        """Read the journal of an earlier run, if there is one, and cut off its unfinished end."""
        journal = self._folder / _JOURNAL
        lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
        sound = 0
        for line in lines:
            entry = _parse_line(line)
            if entry is None or not all(self._end(entry, column) <= self._size(column) for column in entry.rows):
                break
            self._remember(entry)
            sound += len(line)
        if lines:
            os.truncate(journal, sound)
        for path in self._folder.glob("*.rows"):
            os.truncate(path, self.n_rows(path.stem) * self._row_bytes(path.stem) if path.stem in self._totals else 0)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Feature kinds, in the order of the first entry."""
        columns = self.entries[0].rows if self.entries else ()
        return tuple(column for column in columns if not column.endswith(_PLACES))

    def path(self, column: str) -> Path:
        """Return the row file of a column."""
        return self._folder / f"{column}.rows"

    def keys(self, source: str) -> set[str]:
        """Return the keys of a source's entries."""
        return self._keys.get(source, set())

    def n_rows(self, kind: str) -> int:
        """Return how many rows of a kind are stored."""
        return self._totals.get(kind, 0)

    def dimension(self, kind: str) -> int:
        """Return the length of a row of a kind."""
        return self.entries[0].dimensions[kind]

    def append(self, entry: Entry, rows: Mapping[str, FloatArray], places: Mapping[str, AnyArray]) -> None:
        """Store the rows (N, D) and places (N, 3) of every kind, then note them in the journal as `entry`."""
        columns = {kind: self._stored(array) for kind, array in rows.items()}
        columns |= {kind + _PLACES: np.ascontiguousarray(array, np.float16) for kind, array in places.items()}
        for column, array in columns.items():
            _append_bytes(self.path(column), array.tobytes())
            entry.rows[column], entry.dimensions[column] = array.shape
            entry.crc32[column] = zlib.crc32(array.tobytes())
        _append_bytes(self._folder / _JOURNAL, (json.dumps(asdict(entry)) + "\n").encode(), sync=True)
        self._remember(entry)

    def read(self, kind: str, numbers: AnyArray) -> FloatArray:
        """Return the rows (N, D) float32 of numbers (N,)."""
        return np.asarray(self._read(kind, numbers), np.float32)

    def places(self, kind: str, numbers: AnyArray) -> AnyArray:
        """Return the places (N, 3) float16 of the rows of numbers (N,); NaN where nobody said."""
        return self._read(kind + _PLACES, numbers)

    def check(self) -> None:
        """Compare every stored row with its checksum.

        Raises:
            BankError: a row file changed since it was written.
        """
        for column in self._totals:
            with self.path(column).open("rb") if self.path(column).exists() else io.BytesIO() as file:
                for entry in self.entries:
                    if _crc32_of(file, entry.rows[column] * self._row_bytes(column)) != entry.crc32[column]:
                        raise BankError(f"{self.path(column)} is damaged; delete {self._folder} and build again")

    def _read(self, column: str, numbers: AnyArray) -> AnyArray:
        shape, dtype = (self.n_rows(column), self.dimension(column)), self._dtype(column, self.dimension(column))
        return RowFile(self.path(column), shape, dtype)[numbers] if len(numbers) else np.empty((0, shape[1]), dtype)

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._keys.setdefault(entry.source, set()).add(entry.key)
        for column, count in entry.rows.items():
            self._totals[column] = self.n_rows(column) + count

    def _dtype(self, column: str, dimension: int) -> np.dtype[Any]:
        return np.dtype("float16" if column.endswith(_PLACES) else self._dtype_of(dimension))

    def _row_bytes(self, column: str) -> int:
        return self.dimension(column) * self._dtype(column, self.dimension(column)).itemsize

    def _end(self, entry: Entry, column: str) -> int:
        """Return where in its file an entry that comes next ends."""
        dimension = entry.dimensions[column]
        return (self.n_rows(column) + entry.rows[column]) * dimension * self._dtype(column, dimension).itemsize

    def _size(self, column: str) -> int:
        return self.path(column).stat().st_size if self.path(column).exists() else 0

    def _stored(self, rows: FloatArray) -> AnyArray:
        return to_half(rows) if self._dtype_of(rows.shape[1]) == "float16" else np.ascontiguousarray(rows, np.float32)


def part_of(key: str) -> int | None:
    """Return the slice number in a key made by `key_of`."""
    _, separator, part = key.rpartition("\n")
    return int(part) if separator else None


def key_of(source_id: str, part: int | None) -> str:
    """Return the key of a part of a source."""
    return source_id if part is None else f"{source_id}\n{part}"


def _parse_line(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _append_bytes(path: Path, data: bytes, sync: bool = False) -> None:
    with path.open("ab") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def _crc32_of(file: BinaryIO, n_bytes: int) -> int:
    checksum = 0
    while n_bytes and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
        checksum, n_bytes = zlib.crc32(piece, checksum), n_bytes - len(piece)
    return checksum
