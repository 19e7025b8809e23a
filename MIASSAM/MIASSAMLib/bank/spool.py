"""The rows of a running build on disk: appended, journaled, resumed after a kill at any point."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from .rows import RowFile, to_half

_JOURNAL = "journal.jsonl"
_PLACES = ".places"
"""Ends the name of the column that holds the places (N, 3) of a kind's rows."""


@dataclass(frozen=True)
class StoredPart:
    """One `add`: its source, which slice of it, and per column (a kind, or its places) rows, dimension, checksum."""

    source: str
    part: int | None
    n_rows: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    n_slices: int = 1
    dimensions: Mapping[str, int] = field(default_factory=dict)
    crc32: Mapping[str, int] = field(default_factory=dict)


class RowSpool:
    """Raw row files, one per column, and a journal that says how much of them is sound.

    A journal line is written after its rows; what a kill leaves behind the last line is cut off.
    """

    def __init__(self, folder: Path, dtype_of: Callable[[int], str]) -> None:
        """Take the folder and a rule from a row's length D to the stored type."""
        self._folder = folder
        self._dtype_of = dtype_of
        self.entries: list[StoredPart] = []
        self._parts: dict[str, set[int | None]] = {}
        self._totals: dict[str, int] = {}

    def open(self) -> None:
        """Read the journal of an earlier run, if there is one, and cut off its unfinished end."""
        journal = self._folder / _JOURNAL
        lines = journal.read_bytes().splitlines(keepends=True) if journal.exists() else []
        sound = 0
        for line in lines:
            entry = _parse_line(line)
            if entry is None or not all(self._end(entry, column) <= self._size(column) for column in entry.n_rows):
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
        columns = self.entries[0].n_rows if self.entries else ()
        return tuple(column for column in columns if not column.endswith(_PLACES))

    def path(self, column: str) -> Path:
        """Return the row file of a column."""
        return self._folder / f"{column}.rows"

    def parts(self, source: str) -> set[int | None]:
        """Return which parts of a source are stored."""
        return self._parts.get(source, set())

    def n_rows(self, kind: str) -> int:
        """Return how many rows of a kind are stored."""
        return self._totals.get(kind, 0)

    def dimension(self, kind: str) -> int:
        """Return the length of a row of a kind."""
        return self.entries[0].dimensions[kind]

    def append(self, part: StoredPart, rows: Mapping[str, FloatArray], places: Mapping[str, AnyArray]) -> None:
        """Store the rows (N, D) and places (N, 3) of every kind, then note them in the journal as `part`."""
        columns = {kind: self._stored(array) for kind, array in rows.items()}
        columns |= {kind + _PLACES: np.ascontiguousarray(array, np.float16) for kind, array in places.items()}
        for column, array in columns.items():
            _append_bytes(self.path(column), array.tobytes())
        entry = replace(
            part,
            n_rows={column: len(array) for column, array in columns.items()},
            dimensions={column: array.shape[1] for column, array in columns.items()},
            crc32={column: zlib.crc32(array.tobytes()) for column, array in columns.items()},
        )
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
                    if zlib.crc32(file.read(entry.n_rows[column] * self._row_bytes(column))) != entry.crc32[column]:
                        raise BankError(f"{self.path(column)} is damaged; delete {self._folder} and build again")

    def _read(self, column: str, numbers: AnyArray) -> AnyArray:
        shape, dtype = (self.n_rows(column), self.dimension(column)), self._dtype(column, self.dimension(column))
        return RowFile(self.path(column), shape, dtype)[numbers] if len(numbers) else np.empty((0, shape[1]), dtype)

    def _remember(self, entry: StoredPart) -> None:
        self.entries.append(entry)
        self._parts.setdefault(entry.source, set()).add(entry.part)
        for column, count in entry.n_rows.items():
            self._totals[column] = self.n_rows(column) + count

    def _dtype(self, column: str, dimension: int) -> np.dtype[Any]:
        return np.dtype("float16" if column.endswith(_PLACES) else self._dtype_of(dimension))

    def _row_bytes(self, column: str) -> int:
        return self.dimension(column) * self._dtype(column, self.dimension(column)).itemsize

    def _end(self, entry: StoredPart, column: str) -> int:
        """Return where in its file an entry that comes next ends."""
        dimension = entry.dimensions[column]
        return (self.n_rows(column) + entry.n_rows[column]) * dimension * self._dtype(column, dimension).itemsize

    def _size(self, column: str) -> int:
        return self.path(column).stat().st_size if self.path(column).exists() else 0

    def _stored(self, rows: FloatArray) -> AnyArray:
        return to_half(rows) if self._dtype_of(rows.shape[1]) == "float16" else np.ascontiguousarray(rows, np.float32)


def _parse_line(line: bytes) -> StoredPart | None:
    try:
        return StoredPart(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _append_bytes(path: Path, data: bytes, sync: bool = False) -> None:
    with path.open("ab") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
