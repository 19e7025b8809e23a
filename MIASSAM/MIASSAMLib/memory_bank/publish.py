"""Turns a finished spool into the files of a bank and puts them in place in one step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..arrays import AnyArray
from ..errors import BankError
from ..protocols import Progress
from .bank import MemoryBank
from .files import digest_file, sync_file, write_text_atomically
from .manifest import MANIFEST_NAME, KindRecord, Manifest, ManifestDraft, SourceRecord
from .rows import RowPart, Rows
from .spool import Entry, RowSpool
from .storage import Compress, choose_storage, extend_storage, write_storage

_PUBLISHED = "published.sha256"


@dataclasses.dataclass(frozen=True)
class Finish:
    """All that a finished build needs.

    Attributes:
        path: the bank folder.
        building: the folder of the build, beside it.
        draft: what was known before the first row.
        spool: the new rows.
        previous: manifest of the bank that is there already, if there is one.
        base: that bank, opened, when its rows are kept (append).
    """

    path: Path
    building: Path
    draft: ManifestDraft
    spool: RowSpool
    compress: Compress
    previous: Manifest | None
    base: MemoryBank | None
    progress: Progress

    def write(self, calibration: Mapping[str, AnyArray]) -> Path:
        """Write all files of the bank into a folder inside the building folder."""
        folder = self.building / "final"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        version = self.previous.version + 1 if self.previous else 1
        kept = self.base.manifest if self.base else None
        manifest = Manifest(
            draft=self.draft,
            n_slices=sum(entry.n_slices for entry in self.spool.entries) + (kept.n_slices if kept else 0),
            kinds={kind: self._write_kind(folder, kind, version) for kind in self._kinds()},
            sources=join_sources(kept.sources if kept else (), sources_of(self.spool.entries)),
            calibration_file=_write_calibration(folder, calibration, version),
            version=version,
        )
        files = {path.name: digest_file(path) for path in sorted(folder.iterdir())}
        for name in files:
            sync_file(folder / name)
        write_text_atomically(folder / MANIFEST_NAME, dataclasses.replace(manifest, files=files).render())
        return folder

    def publish(self, final: Path) -> None:
        """Put the files in place: the bank is the old one up to one rename, and the new one after it."""
        write_text_atomically(self.building / _PUBLISHED, digest_file(final / MANIFEST_NAME).sha256)
        if self.previous is None:
            os.rename(final, self.path)
        else:
            for path in final.iterdir():
                if path.name != MANIFEST_NAME:
                    os.replace(path, self.path / path.name)
            os.replace(final / MANIFEST_NAME, self.path / MANIFEST_NAME)
            _delete(self.path / name for name in self.previous.files)
        shutil.rmtree(self.building)

    def _kinds(self) -> tuple[str, ...]:
        return self.base.kinds if self.base else self.spool.kinds

    def _write_kind(self, folder: Path, kind: str, version: int) -> KindRecord:
        rows, stem, old = self._rows(kind), file_stem(kind, version), self._old_record(kind)
        if old and old.storage == "compressed" and self.compress in ("auto", "compressed"):
            return extend_storage(folder, stem, rows, self.path, old)
        choice = choose_storage(self.compress, len(rows), rows.dimension)
        return write_storage(folder, stem, rows, choice, self.draft.seed, self.progress)

    def _old_record(self, kind: str) -> KindRecord | None:
        return self.base.manifest.kinds[kind] if self.base else None

    def _rows(self, kind: str) -> Rows:
        base, spool = self.base, self.spool
        parts, sources = [], sources_of(spool.entries)
        if base:
            parts.append(RowPart(base.n_patches(kind), lambda numbers: base.rows_at(kind, numbers)))
            sources = (*base.manifest.sources, *sources)
        if kind in spool.kinds:
            parts.append(RowPart(spool.n_rows(kind), lambda numbers: spool.read(kind, numbers)))
        counts = [source.n_patches[kind] for source in sources]
        dimension = base.dimension(kind) if base else spool.dimension(kind)
        return Rows(parts, dimension, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def sweep_finished(path: Path, building: Path) -> None:
    """Delete the building folder of a build that was killed after its bank was in place."""
    note = building / _PUBLISHED
    with contextlib.suppress(OSError):
        if note.read_text() == digest_file(path / MANIFEST_NAME).sha256:
            shutil.rmtree(building)


def file_stem(kind: str, version: int) -> str:
    """Return the beginning of the file names of a feature kind; an append has its own."""
    stem = "patches" if kind == "embedding" else f"patches_{kind}"
    return stem if version == 1 else f"{stem}.v{version}"


def sources_of(entries: Sequence[Entry]) -> tuple[SourceRecord, ...]:
    """Return one record per source, in the order in which the first of its parts came.

    Raises:
        BankError: the parts of a source do not follow one another.
    """
    records: list[SourceRecord] = []
    for entry in entries:
        part = SourceRecord(entry.source, entry.digest, entry.n_slices, entry.rows)
        if records and records[-1].name == part.name:
            records[-1] = _joined(records[-1], part)
        else:
            records.append(part)
    return tuple(records)


def join_sources(old: Sequence[SourceRecord], new: Sequence[SourceRecord]) -> tuple[SourceRecord, ...]:
    """Return old and new sources, in order."""
    return (*old, *new)


def _joined(first: SourceRecord, second: SourceRecord) -> SourceRecord:
    counts = {kind: count + second.n_patches[kind] for kind, count in first.n_patches.items()}
    return SourceRecord(first.name, first.digest or second.digest, first.n_slices + second.n_slices, counts)


def _write_calibration(folder: Path, calibration: Mapping[str, AnyArray], version: int) -> str:
    if not calibration:
        return ""
    arrays = {name: np.asarray(array) for name, array in calibration.items()}
    if pickled := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise BankError(f"calibration arrays {pickled} hold Python objects; give numbers")
    name = "calibration.npz" if version == 1 else f"calibration.v{version}.npz"
    np.savez(folder / name, **arrays)  # type: ignore[arg-type]
    return name


def _delete(paths) -> None:  # type: ignore[no-untyped-def]
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
