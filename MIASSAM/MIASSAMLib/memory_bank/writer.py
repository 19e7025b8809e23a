"""Builds a memory bank on disk: rows stream in, a killed build resumes, the bank appears at once."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError, BankMismatchError
from .bank import MemoryBank, checked_rows
from .files import FolderLock, digest_file, disk_errors_in_words, sync_file, write_text_atomically
from .flat import write_flat
from .manifest import MANIFEST_NAME, KindRecord, Manifest, ManifestDraft, SourceRecord
from .spool import Entry, RowSpool

_DRAFT_NAME = "draft.sha256"


class BankWriter:
    """Collects rows in `NAME.bank.building` and turns them into `NAME.bank` in one step.

    Args:
        path: the bank folder to make.
        draft: what is known before the first row.
        overwrite: replace a bank that is already there.

    Raises:
        BankError: the bank exists, another build writes it, or the folder cannot be written.
    """

    def __init__(self, path: Path | str, draft: ManifestDraft, overwrite: bool = False) -> None:
        self.path = Path(path)
        self._draft = draft
        self._overwrite = overwrite
        self._building = self.path.with_name(f"{self.path.name}.building")
        self._lock = FolderLock(self.path.with_name(f"{self.path.name}.lock"))
        self._spool = RowSpool(self._building, "float32")
        self._added: set[str] = set()
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
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    @property
    def n_resumed(self) -> int:
        """How many parts an earlier, interrupted run had already stored."""
        return len(self._spool.entries) - len(self._added)

    def has(self, source_id: str, part: int | None = None) -> bool:
        """Tell whether this part is stored, so that an interrupted build need not encode it again."""
        return self._spool.has(_key(source_id, part))

    def add(
        self,
        source_id: str,
        rows: Mapping[str, FloatArray],
        *,
        part: int | None = None,
        n_slices: int = 1,
        digest: str = "",
    ) -> None:
        """Store the rows of a slice or a whole volume.

        Args:
            source_id: name of the volume.
            rows: feature kind -> rows (N, D); every call has the same kinds, N may be 0.
            part: which slice, when a volume is added slice by slice.
            n_slices: slices these rows come from.
            digest: SHA-256 of the volume's file.
        """
        key = _key(source_id, part)
        if key in self._added:
            raise BankError(f"{source_id} (part {part}) was added twice; give every source and slice once")
        if not self._spool.has(key):
            checked = {kind: checked_rows(kind, array) for kind, array in rows.items()}
            self._check_same_kinds(source_id, checked)
            with self._disk_errors():
                self._spool.append(key, source_id, digest, n_slices, checked)
            self._added.add(key)

    def finish(self, calibration: Mapping[str, AnyArray] | None = None) -> MemoryBank:
        """Write the bank and return it, opened.

        Raises:
            BankError: there is not one row, or the disk is full; an older bank stays as it was.
        """
        if not any(self._spool.n_rows(kind) for kind in self._spool.kinds):
            raise BankError(f"not one normal patch came in for {self.path}; check the inputs and exclusion masks")
        with self._disk_errors():
            self._spool.check()
            self._publish(self._write_files(calibration or {}))
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
        if self.path.exists() and not (self._overwrite and (self.path / MANIFEST_NAME).exists()):
            raise BankError(f"{self.path} exists already; choose another name, append to it or allow to overwrite it")
        note = self._building / _DRAFT_NAME
        if note.exists() and note.read_text() != self._draft.digest():
            raise BankError(
                f"{self._building} holds an interrupted build with other settings; "
                "delete that folder, or repeat the build with its settings"
            )
        with self._disk_errors():
            self._building.mkdir(exist_ok=True)
            write_text_atomically(note, self._draft.digest())
            self._spool.open()

    def _check_same_kinds(self, source_id: str, rows: Mapping[str, FloatArray]) -> None:
        expected = {kind: self._spool.dimension(kind) for kind in self._spool.kinds}
        got = {kind: array.shape[1] for kind, array in rows.items()}
        if expected and list(expected.items()) != list(got.items()):
            raise BankMismatchError(f"{source_id} gives rows {got} but the bank takes {expected}; use one encoder")

    def _write_files(self, calibration: Mapping[str, AnyArray]) -> Path:
        folder = self._building / "final"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        kinds = {kind: self._write_kind(folder, kind) for kind in self._spool.kinds}
        manifest = Manifest(
            draft=self._draft,
            n_slices=sum(entry.n_slices for entry in self._spool.entries),
            kinds=kinds,
            sources=_sources_of(self._spool.entries),
            calibration_file=_write_calibration(folder, calibration),
        )
        files = {path.name: digest_file(path) for path in sorted(folder.iterdir())}
        for name in files:
            sync_file(folder / name)
        write_text_atomically(folder / MANIFEST_NAME, dataclasses.replace(manifest, files=files).render())
        return folder

    def _write_kind(self, folder: Path, kind: str) -> KindRecord:
        name = index_file_name(kind)
        dimension = self._spool.dimension(kind)
        write_flat(folder / name, dimension, self._spool.chunks(kind))
        reason = "exact float32 rows"
        return KindRecord("none", reason, self._spool.n_rows(kind), dimension, {"index": name})

    def _publish(self, final: Path) -> None:
        previous = self._building / "previous"
        shutil.rmtree(previous, ignore_errors=True)
        if self.path.exists():
            os.rename(self.path, previous)
        os.rename(final, self.path)
        shutil.rmtree(self._building)

    def _disk_errors(self) -> AbstractContextManager[None]:
        kept = f"no bank was changed, what is done so far is in {self._building}"
        return disk_errors_in_words(self.path, kept)


def index_file_name(kind: str) -> str:
    """Return the index file of a feature kind."""
    return "patches.faiss" if kind == "embedding" else f"patches_{kind}.faiss"


def _key(source_id: str, part: int | None) -> str:
    return source_id if part is None else f"{source_id}\n{part}"


def _sources_of(entries: list[Entry]) -> tuple[SourceRecord, ...]:
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry.source, []).append(entry)
    return tuple(
        SourceRecord(
            name,
            next((part.digest for part in parts if part.digest), ""),
            sum(part.n_slices for part in parts),
            {kind: sum(part.rows[kind] for part in parts) for kind in parts[0].rows},
        )
        for name, parts in grouped.items()
    )


def _write_calibration(folder: Path, calibration: Mapping[str, AnyArray]) -> str:
    if not calibration:
        return ""
    arrays = {name: np.asarray(array) for name, array in calibration.items()}
    if pickled := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise BankError(f"calibration arrays {pickled} hold Python objects; give numbers")
    np.savez(folder / "calibration.npz", **arrays)  # type: ignore[arg-type]
    return "calibration.npz"
