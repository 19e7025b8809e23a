"""Turns a finished spool into the files of a bank and puts them in place in one step."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from ..protocols import Progress
from .bank import MemoryBank
from .files import digest_file, sync_file, write_text_atomically
from .manifest import MANIFEST_NAME, KindRecord, Manifest, ManifestDraft, SourceRecord
from .rows import RowPart, Rows
from .spool import Entry, RowSpool
from .storage import Compress, choose_storage, extend_storage, write_storage

_SELECT_ROWS = 16384
"""Rows that a selection sees at once."""
_PUBLISHED = "published.sha256"


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The new rows of one kind, of which a selection keeps some.

    Attributes:
        chunks: the rows in order, float32 (N, D) at a time.
        n_rows: rows in all chunks.
        places: int (n_rows,), where in the patch grid each comes from; -1 where nobody said.
    """

    kind: str
    chunks: Iterator[FloatArray]
    n_rows: int
    places: AnyArray


Selector = Callable[[Candidates], AnyArray]
"""Returns the ascending numbers of the rows that stay."""


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
        kept: kind -> ascending numbers of the new rows that stay; empty keeps all.
        kept_words: how they were chosen.
    """

    path: Path
    building: Path
    draft: ManifestDraft
    spool: RowSpool
    compress: Compress
    kept: Mapping[str, AnyArray]
    kept_words: str
    previous: Manifest | None
    base: MemoryBank | None
    progress: Progress

    def write(self, calibration: Mapping[str, AnyArray]) -> Path:
        """Write all files of the bank into a folder inside the building folder."""
        folder = self.building / "final"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        version = self.previous.version + 1 if self.previous else 1
        old = self.base.manifest if self.base else None
        rows = {kind: self._rows(kind) for kind in self._kinds()}
        manifest = Manifest(
            draft=self.draft,
            n_slices=sum(entry.n_slices for entry in self.spool.entries) + (old.n_slices if old else 0),
            kinds={kind: self._write_kind(folder, kind, rows[kind], version) for kind in rows},
            sources=_counted(self._sources(), rows),
            calibration_file=_write_calibration(folder, calibration, version),
            version=version,
            notes=(*(old.notes if old else ()), *self._selection_notes(rows)),
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

    def _sources(self) -> tuple[SourceRecord, ...]:
        old = self.base.manifest.sources if self.base else ()
        return (*old, *sources_of(self.spool.entries))

    def _selection_notes(self, rows: Mapping[str, Rows]) -> list[str]:
        n_old = {kind: self.base.n_patches(kind) if self.base else 0 for kind in rows}
        counts = {kind: f"{len(rows[kind]) - n_old[kind]} of {self.spool.n_rows(kind)}" for kind in self.kept}
        return [f"{count} new {kind} patches were kept ({self.kept_words})" for kind, count in counts.items()]

    def _write_kind(self, folder: Path, kind: str, rows: Rows, version: int) -> KindRecord:
        stem, old = file_stem(kind, version), self._old_record(kind)
        if old and old.storage == "compressed" and self.compress in ("auto", "compressed"):
            return extend_storage(folder, stem, rows, self.path, old)
        choice = choose_storage(self.compress, len(rows), rows.dimension)
        return write_storage(folder, stem, rows, choice, self.draft.seed, self.progress)

    def _old_record(self, kind: str) -> KindRecord | None:
        return self.base.manifest.kinds[kind] if self.base else None

    def _rows(self, kind: str) -> Rows:
        base, spool = self.base, self.spool
        parts, counts = [], []
        if base:
            parts.append(RowPart(base.n_patches(kind), lambda numbers: base.rows_at(kind, numbers)))
            counts += [source.n_patches[kind] for source in base.manifest.sources]
        new = np.cumsum([0, *(source.n_patches[kind] for source in sources_of(spool.entries))])
        kept = self.kept.get(kind, np.arange(spool.n_rows(kind)))
        parts.append(RowPart(len(kept), lambda numbers: spool.read(kind, kept[numbers])))
        counts += np.diff(np.searchsorted(kept, new)).tolist()
        dimension = base.dimension(kind) if base else spool.dimension(kind)
        return Rows(parts, dimension, np.concatenate([[0], np.cumsum(counts)]).astype(np.int64))


def select_rows_of(spool: RowSpool, select: Selector) -> dict[str, AnyArray]:
    """Return the ascending numbers of the rows that stay, for every kind."""
    kept = {}
    for kind in spool.kinds:
        n_rows = spool.n_rows(kind)
        part = RowPart(n_rows, lambda numbers, kind=kind: spool.read(kind, numbers))  # type: ignore[misc]
        chunks = Rows([part], spool.dimension(kind), np.array([0, n_rows])).chunks(size=_SELECT_ROWS)
        kept[kind] = np.asarray(select(Candidates(kind, chunks, n_rows, spool.places(kind))), np.int64)
    return kept


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
    """Return one record per run of parts of the same source, in order."""
    records: list[SourceRecord] = []
    for entry in entries:
        part = SourceRecord(entry.source, entry.digest, entry.n_slices, entry.rows)
        if records and records[-1].name == part.name:
            records[-1] = _joined(records[-1], part)
        else:
            records.append(part)
    return tuple(records)


def _counted(sources: Sequence[SourceRecord], rows: Mapping[str, Rows]) -> tuple[SourceRecord, ...]:
    """Return the sources with the patches that stayed."""
    counts = {kind: np.diff(kind_rows.bounds).tolist() for kind, kind_rows in rows.items()}
    return tuple(
        dataclasses.replace(source, n_patches={kind: counts[kind][place] for kind in counts})
        for place, source in enumerate(sources)
    )


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


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
