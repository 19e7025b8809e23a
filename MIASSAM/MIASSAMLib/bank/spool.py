"""The rows of a running build on disk: appended, journaled, resumed after a kill at any point."""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..errors import BankError
from .half import to_half
from .row_file import RowFile

_JOURNAL = "journal.jsonl"
_PIECE_BYTES = 1 << 22


@dataclass(frozen=True)
class Entry:
    """One `append`: its key, source and, per kind, the rows, dimension and checksum.

    cells: which places of the patch grid the rows come from, a bit for each in hexadecimal; "" where
        nobody said.
    """

    key: str
    source: str
    digest: str
    n_slices: int
    rows: dict[str, int] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    crc32: dict[str, int] = field(default_factory=dict)
    cells: str = ""


class RowSpool:
    """Raw row files, one per feature kind, and a journal that says how much of them is sound.

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
            if entry is None or not self._has_rows(entry):
                break
            self._remember(entry)
            sound += len(line)
        if lines:
            os.truncate(journal, sound)
        for path in self._folder.glob("*.rows"):
            os.truncate(path, self._sound_bytes(path.stem) if path.stem in self.kinds else 0)

    def _sound_bytes(self, kind: str) -> int:
        return self.n_rows(kind) * self.dimension(kind) * self.dtype(kind).itemsize

    @property
    def kinds(self) -> tuple[str, ...]:
        """Feature kinds, in the order of the first entry."""
        return tuple(self.entries[0].rows) if self.entries else ()

    def path(self, kind: str) -> Path:
        """Return the row file of a kind."""
        return self._folder / f"{kind}.rows"

    def keys(self, source: str) -> set[str]:
        """Return the keys of a source's entries."""
        return self._keys.get(source, set())

    def n_rows(self, kind: str) -> int:
        """Return how many rows of a kind are stored."""
        return self._totals.get(kind, 0)

    def dimension(self, kind: str) -> int:
        """Return the length of a row of a kind."""
        return self.entries[0].dimensions[kind]

    def dtype(self, kind: str) -> np.dtype[Any]:
        """Return the stored type of a kind."""
        return np.dtype(self._dtype_of(self.dimension(kind)))

    def append(self, entry: Entry, rows: Mapping[str, FloatArray]) -> None:
        """Store the rows (N, D) of every kind, then note the entry with their numbers in the journal."""
        stored = {kind: self._stored(array) for kind, array in rows.items()}
        for kind, array in stored.items():
            _append_bytes(self.path(kind), array.data.cast("B") if array.size else b"")
        entry = replace(
            entry,
            rows={kind: len(array) for kind, array in stored.items()},
            dimensions={kind: array.shape[1] for kind, array in stored.items()},
            crc32={kind: zlib.crc32(array.data.cast("B") if array.size else b"") for kind, array in stored.items()},
        )
        _append_bytes(self._folder / _JOURNAL, (json.dumps(asdict(entry)) + "\n").encode(), sync=True)
        self._remember(entry)

    def read(self, kind: str, numbers: AnyArray) -> FloatArray:
        """Return the rows (N, D) float32 of numbers (N,)."""
        shape = (self.n_rows(kind), self.dimension(kind))
        if not len(numbers):
            return np.empty((0, shape[1]), np.float32)
        return np.asarray(RowFile(self.path(kind), shape, self.dtype(kind))[numbers], np.float32)

    def check(self) -> None:
        """Compare every stored row with its checksum.

        Raises:
            BankError: a row file changed since it was written.
        """
        for kind in self.kinds:
            row_bytes = self.dimension(kind) * self.dtype(kind).itemsize
            with _open_if_there(self.path(kind)) as file:
                for entry in self.entries:
                    if _crc32_of(file, entry.rows[kind] * row_bytes) != entry.crc32[kind]:
                        raise BankError(f"{self.path(kind)} is damaged; delete {self._folder} and build again")

    def places(self, kind: str) -> AnyArray:
        """Return where in the patch grid each row (M,) of a kind comes from; -1 where nobody said."""
        places = [_places_of(entry.cells, entry.rows[kind]) for entry in self.entries]
        return np.concatenate(places) if places else np.empty(0, np.int64)

    def _remember(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._keys.setdefault(entry.source, set()).add(entry.key)
        for kind, count in entry.rows.items():
            self._totals[kind] = self.n_rows(kind) + count

    def _has_rows(self, entry: Entry) -> bool:
        return all(self._row_bytes(entry, kind) <= _file_size(self.path(kind)) for kind in entry.rows)

    def _row_bytes(self, entry: Entry, kind: str) -> int:
        dimension = entry.dimensions[kind]
        return (self.n_rows(kind) + entry.rows[kind]) * dimension * np.dtype(self._dtype_of(dimension)).itemsize

    def _stored(self, rows: FloatArray) -> AnyArray:
        if self._dtype_of(rows.shape[1]) == "float16":
            return np.ascontiguousarray(to_half(rows))
        return np.ascontiguousarray(rows, np.float32)


def cells_in_text(wanted: BoolArray | None) -> str:
    """Return which of the patches (N,) are wanted as the text of `Entry.cells`."""
    return "" if wanted is None else np.packbits(wanted).tobytes().hex()


def _places_of(cells: str, n_rows: int) -> AnyArray:
    if not cells:
        return np.full(n_rows, -1)
    return np.flatnonzero(np.unpackbits(np.frombuffer(bytes.fromhex(cells), np.uint8)))


def _parse_line(line: bytes) -> Entry | None:
    try:
        return Entry(**json.loads(line)) if line.endswith(b"\n") else None
    except (ValueError, TypeError):
        return None


def _append_bytes(path: Path, data: bytes | memoryview, sync: bool = False) -> None:
    with path.open("ab") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def _open_if_there(path: Path) -> BinaryIO:
    return path.open("rb") if path.exists() else io.BytesIO()


def _crc32_of(file: BinaryIO, n_bytes: int) -> int:
    checksum = 0
    while n_bytes and (piece := file.read(min(n_bytes, _PIECE_BYTES))):
        checksum, n_bytes = zlib.crc32(piece, checksum), n_bytes - len(piece)
    return checksum


def _file_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
