"""Builds a memory bank on disk: rows stream in, a killed build resumes, the bank appears at once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..errors import BankError, BankMismatchError
from ..protocols import Progress, no_progress
from .bank import MemoryBank, checked_rows
from .files import FolderLock, disk_errors_in_words, write_text_atomically
from .manifest import MANIFEST_NAME, ManifestDraft, SourceRecord, read_manifest, text_digest
from .others import OtherRows
from .publish import Finish, Selector, select_rows_of, sweep_finished
from .spool import Entry, RowSpool, cells_in_text
from .storage import Compress, spool_dtype

_NOTE_NAME = "build.sha256"


def check_free(path: Path, may_change: bool) -> None:
    """Refuse a path that a bank cannot be written to; cheap, so that it can come before the work.

    may_change: a bank that is there may be replaced or appended to; anything else never.

    Raises:
        BankError: something is there.
    """
    if path.exists() and not (may_change and (path / MANIFEST_NAME).exists()):
        raise BankError(f"{path} exists already; choose another name, append to it or allow to overwrite it")


class BankWriter:
    """Collects rows in `NAME.bank.building` and turns them into `NAME.bank` in one step.

    Args:
        path: the bank folder to make.
        draft: what is known before the first row.
        overwrite: replace a bank that is already there.
        append: keep the rows of the bank that is there and add to them.
        compress: how rows are stored, see `storage.choose_storage`.
        progress: told about the last steps, which may take minutes for a large bank.

    Raises:
        BankError: the bank exists, another build writes it, or the folder cannot be written.
        BankMismatchError: append to a bank of another model or config.
    """

    def __init__(
        self,
        path: Path | str,
        draft: ManifestDraft,
        overwrite: bool = False,
        append: bool = False,
        compress: Compress = "auto",
        progress: Progress = no_progress,
    ) -> None:
        self.path = Path(path)
        self._draft = draft
        self._replace, self._append = overwrite, append
        self._compress: Compress = compress
        self._progress = progress
        self._building = self.path.with_name(f"{self.path.name}.building")
        self._lock = FolderLock(self.path.with_name(f"{self.path.name}.lock"))
        self._spool = RowSpool(self._building, lambda dimension: spool_dtype(compress, dimension))
        self._base: MemoryBank | None = None
        self._old_names: frozenset[str] = frozenset()
        self._added: set[str] = set()
        self._kept: dict[str, AnyArray] = {}
        self._kept_words = ""
        self._searched: dict[str, OtherRows] = {}
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> BankWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_resumed(self) -> int:
        """How many parts an earlier, interrupted run had already stored."""
        return len(self._spool.entries) - len(self._added)

    def has(self, source_id: str, part: int | None = None) -> bool:
        """Tell whether this part is stored, so that an interrupted build need not encode it again."""
        return _key(source_id, part) in self._spool.keys(source_id)

    def stored_slices(self, source_id: str) -> frozenset[int]:
        """Return the parts of a source that are stored."""
        parts = (_part_of(key) for key in self._spool.keys(source_id))
        return frozenset(part for part in parts if part is not None)

    def add(
        self,
        source_id: str,
        rows: Mapping[str, FloatArray],
        *,
        part: int | None = None,
        n_slices: int = 1,
        digest: str = "",
        cells: BoolArray | None = None,
    ) -> None:
        """Store the rows of a slice or a whole volume.

        Args:
            source_id: name of the volume.
            rows: feature kind -> rows (N, D); every call has the same kinds, N may be 0.
            part: which slice, when a volume is added slice by slice.
            n_slices: slices these rows come from.
            digest: SHA-256 of the volume's file.
            cells: bool (P,), the patches of the grid that the rows are, for a selection by place.
        """
        key = _key(source_id, part)
        if key in self._added or self._in_base(source_id):
            raise BankError(f"{source_id} (part {part}) was added twice; give every source and slice once")
        if key not in self._spool.keys(source_id):
            checked = {kind: checked_rows(kind, array) for kind, array in rows.items()}
            self._check_same_kinds(source_id, checked)
            with self._disk_errors():
                self._spool.append(Entry(key, source_id, digest, n_slices, cells=cells_in_text(cells)), checked)
            self._added.add(key)
            self._searched.clear()

    def parts(self) -> list[StoredPart]:
        """Return what the bank will hold, in order: the sources it is appended to, then this build's parts."""
        old = [StoredPart(source.name, None, source.n_patches) for source in self._old_sources()]
        return old + [StoredPart(entry.source, _part_of(entry.key), entry.rows) for entry in self._spool.entries]

    def search_excluding(self, kind: str, queries: FloatArray, excluded: Sequence[bool]) -> FloatArray:
        """Return squared distances (Q,) to the nearest row outside the excluded parts.

        excluded: one flag per entry of `parts`, never set for the sources of an older version. Infinite
        where every part is excluded.
        """
        n_old = len(self._old_sources())
        found = self._others(kind).search(queries, [not flag for flag in excluded[n_old:]])
        return np.minimum(found, self._base.search(kind, queries)) if self._base else found

    def _old_sources(self) -> tuple[SourceRecord, ...]:
        return self._base.manifest.sources if self._base else ()

    def _others(self, kind: str) -> OtherRows:
        if kind not in self._searched:
            self._searched[kind] = OtherRows(self._spool, kind, self._kept.get(kind))
        return self._searched[kind]

    def select(self, select: Selector, words: str = "coreset") -> None:
        """Keep only some of the new rows; `search_excluding` sees the others no more.

        words: how they are chosen, for the manifest.
        """
        self._kept, self._kept_words = select_rows_of(self._spool, select), words
        self._searched.clear()

    def finish(self, calibration: Mapping[str, AnyArray] | None = None, select: Selector | None = None) -> MemoryBank:
        """Write the bank and return it, opened.

        Args:
            calibration: arrays measured on held-out normal slices.
            select: which of the new rows stay, e.g. a coreset; None keeps all.

        Raises:
            BankError: there is not one row, or the disk is full; an older bank stays as it was.
        """
        if not any(self._spool.n_rows(kind) for kind in self._spool.kinds):
            raise BankError(f"not one normal patch came in for {self.path}; check the inputs and exclusion masks")
        if select:
            self.select(select)
        with self._disk_errors():
            self._spool.check()
            previous = read_manifest(self.path) if self.path.exists() else None
            finish = Finish(
                self.path,
                self._building,
                self._draft,
                self._spool,
                self._compress,
                self._kept,
                self._kept_words,
                previous,
                self._base,
                self._progress,
            )
            finish.publish(finish.write(calibration or {}))
        self.close()
        return MemoryBank.load(self.path, verify=False)

    def close(self) -> None:
        """Let go of the folder; an unfinished build stays on disk and can be resumed."""
        self._lock.release()

    def discard(self) -> None:
        """Delete what an unfinished build has stored."""
        shutil.rmtree(self._building, ignore_errors=True)
        self.close()

    def _open(self) -> None:
        sweep_finished(self.path, self._building)
        check_free(self.path, self._replace or self._append)
        if self._append and (self.path / MANIFEST_NAME).exists():
            self._base = MemoryBank.load(self.path)
            self._old_names = frozenset(source.name for source in self._old_sources())
            self._base.check_fits(self._draft.config, self._draft.model_name, self._draft.model_digest)
        settings, note = self._settings_digest(), self._building / _NOTE_NAME
        if note.exists() and note.read_text() != settings:
            raise BankError(
                f"{self._building} holds an interrupted build with other settings; "
                "delete that folder, or repeat the build with its settings"
            )
        with self._disk_errors():
            self._building.mkdir(exist_ok=True)
            write_text_atomically(note, settings)
            self._spool.open()

    def _settings_digest(self) -> str:
        base = self._base.manifest.render() if self._base else ""
        return text_digest("\n".join([self._draft.digest(), spool_dtype(self._compress, 1024), base]))

    def _in_base(self, source_id: str) -> bool:
        return source_id in self._old_names

    def _check_same_kinds(self, source_id: str, rows: Mapping[str, FloatArray]) -> None:
        expected = {kind: self._spool.dimension(kind) for kind in self._spool.kinds}
        if self._base:
            expected = {kind: self._base.dimension(kind) for kind in self._base.kinds}
        got = {kind: array.shape[1] for kind, array in rows.items()}
        if expected and list(expected.items()) != list(got.items()):
            raise BankMismatchError(f"{source_id} gives rows {got} but the bank takes {expected}; use one encoder")

    def _disk_errors(self) -> AbstractContextManager[None]:
        kept = f"no bank was changed, what is done so far is in {self._building}"
        return disk_errors_in_words(self.path, kept)


@dataclass(frozen=True)
class StoredPart:
    """One `add`: its source, which slice of it, and rows per kind."""

    source: str
    part: int | None
    n_rows: Mapping[str, int]


def _part_of(key: str) -> int | None:
    """Return the slice number in a key made by `_key`."""
    _, separator, part = key.partition("\n")
    return int(part) if separator else None


def _key(source_id: str, part: int | None) -> str:
    return source_id if part is None else f"{source_id}\n{part}"
