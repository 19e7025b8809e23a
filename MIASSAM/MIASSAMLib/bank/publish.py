"""Turns a finished spool into the files of a bank and puts them in place in one step."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from ..files import replacing, sha256_of_file, sync_file
from ..protocols import Progress
from .bank import MemoryBank
from .manifest import MANIFEST_NAME, KindRecord, Manifest, ManifestDraft, SourceRecord, file_record
from .rows import RowPart, Rows, write_npy
from .spool import RowSpool
from .storage import Compress, choose_storage, extend_storage, spool_dtype, write_storage
from .taught import forget_lessons

_SELECT_ROWS = 16384
"""Rows that a selection sees at once."""
_PUBLISHED = "published.sha256"


@dataclasses.dataclass(frozen=True)
class Candidates:
    """The new rows of one kind, of which a selection keeps some.

    Attributes:
        chunks: the rows in order, float32 (N, D) at a time.
        n_rows: rows in all chunks.
        places: float16 (n_rows, 3), see `MemoryBank.places`; NaN where nobody said.
    """

    kind: str
    chunks: Iterator[FloatArray]
    n_rows: int
    places: AnyArray


Selector = Callable[[Candidates], AnyArray]
"""Returns the ascending numbers of the rows that stay."""


@dataclasses.dataclass
class Build:
    """A running build, from its first row to the bank in its place.

    Attributes:
        path: the bank folder.
        draft: what was known before the first row.
        kept: kind -> ascending numbers of the new rows that stay; empty keeps all.
        kept_words: how they were chosen.
        previous: manifest of the bank that is there already, if there is one.
        base: that bank, opened, when its rows are kept (append).
    """

    path: Path
    draft: ManifestDraft
    compress: Compress
    progress: Progress
    kept: dict[str, AnyArray] = dataclasses.field(default_factory=dict)
    kept_words: str = ""
    previous: Manifest | None = None
    base: MemoryBank | None = None

    def __post_init__(self) -> None:
        self.folder = self.path.with_name(f"{self.path.name}.building")
        self.spool = RowSpool(self.folder, lambda dimension: spool_dtype(self.compress, dimension))

    @property
    def old_sources(self) -> tuple[SourceRecord, ...]:
        """The sources of the bank that is appended to."""
        return self.base.manifest.sources if self.base else ()

    def kept_of(self, kind: str) -> AnyArray:
        """Return the ascending numbers of the new rows that stay."""
        return self.kept.get(kind, np.arange(self.spool.n_rows(kind)))

    def select(self, select: Selector, words: str) -> None:
        """Keep only some of the new rows."""
        spool, self.kept_words = self.spool, words
        for kind in spool.kinds:
            every = np.arange(spool.n_rows(kind))
            rows = Rows([(len(every), functools.partial(spool.read, kind))], spool.dimension(kind), np.zeros(1))
            chosen = select(Candidates(kind, rows.chunks(size=_SELECT_ROWS), len(every), spool.places(kind, every)))
            self.kept[kind] = np.asarray(chosen, np.int64)

    def write(self, calibration: Mapping[str, AnyArray]) -> Path:
        """Write all files of the bank into a folder inside the building folder."""
        folder = self.folder / "final"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        version = self.previous.version + 1 if self.previous else 1
        old = self.base.manifest if self.base else None
        rows = {kind: self._rows(kind) for kind in (self.base or self.spool).kinds}
        manifest = Manifest(
            draft=self.draft,
            n_slices=sum(entry.n_slices for entry in self.spool.entries) + (old.n_slices if old else 0),
            kinds={kind: self._write_kind(folder, kind, rows[kind], version) for kind in rows},
            sources=self._sources_with_kept(rows),
            calibration_file=_write_calibration(folder, calibration, version),
            version=version,
            notes=(*(old.notes if old else ()), *self._selection_notes()),
        )
        files = {path.name: file_record(path) for path in sorted(folder.iterdir())}
        for name in files:
            sync_file(folder / name)
        write_synced(folder / MANIFEST_NAME, dataclasses.replace(manifest, files=files).render())
        return folder

    def publish(self, final: Path) -> None:
        """Put the files in place: the bank is the old one up to one rename, and the new one after it."""
        write_synced(self.folder / _PUBLISHED, sha256_of_file(final / MANIFEST_NAME))
        if self.previous is None:
            os.rename(final, self.path)
        else:
            for path in final.iterdir():
                if path.name != MANIFEST_NAME:
                    os.replace(path, self.path / path.name)
            os.replace(final / MANIFEST_NAME, self.path / MANIFEST_NAME)
            for name in self.previous.files:
                _delete(self.path / name)
            if not self.base:
                forget_lessons(self.path)
        shutil.rmtree(self.folder)

    def sweep_finished(self) -> None:
        """Delete the building folder of a build that was killed after its bank was in place."""
        with contextlib.suppress(OSError):
            if (self.folder / _PUBLISHED).read_text() == sha256_of_file(self.path / MANIFEST_NAME):
                shutil.rmtree(self.folder)

    def _selection_notes(self) -> list[str]:
        counts = {kind: f"{len(numbers)} of {self.spool.n_rows(kind)}" for kind, numbers in self.kept.items()}
        return [f"{count} new {kind} patches were kept ({self.kept_words})" for kind, count in counts.items()]

    def _write_kind(self, folder: Path, kind: str, rows: Rows, version: int) -> KindRecord:
        stem = "patches" if kind == "embedding" else f"patches_{kind}"
        stem += "" if version == 1 else f".v{version}"
        old = self.base.manifest.kinds[kind] if self.base else None
        if old and old.storage == "compressed" and self.compress in ("auto", "compressed"):
            record = extend_storage(folder, stem, rows, self.path, old)
        else:
            choice = choose_storage(self.compress, len(rows), rows.dimension)
            record = write_storage(folder / stem, rows, choice, self.draft.seed, self.progress)
        places = self._places(kind)
        if np.isnan(places).all():
            return record
        write_npy(folder / f"{stem}.places.npy", places.shape, np.float16, [places])
        return dataclasses.replace(record, files={**record.files, "places": f"{stem}.places.npy"})

    def _places(self, kind: str) -> AnyArray:
        new = self.spool.places(kind, self.kept_of(kind))
        if not self.base:
            return new
        old = self.base.places(kind)
        return np.concatenate([np.full((self.base.n_patches(kind), 3), np.nan) if old is None else old, new])

    def _rows(self, kind: str) -> Rows:
        base, kept, bounds = self.base, self.kept_of(kind), np.zeros(1, np.int64)
        parts: list[RowPart] = [(len(kept), lambda numbers: self.spool.read(kind, kept[numbers]))]
        if base:
            parts.insert(0, (base.n_patches(kind), functools.partial(base.rows_at, kind)))
            bounds = base.sources_of_rows(kind)
        ends = np.cumsum([source.n_patches[kind] for source in self._new_sources()], dtype=np.int64)
        dimension = (base or self.spool).dimension(kind)
        return Rows(parts, dimension, np.concatenate([bounds, bounds[-1] + np.searchsorted(kept, ends)]))

    def _new_sources(self) -> list[SourceRecord]:
        """Return one record per run of parts of the same source, in order."""
        records = []
        for name, run in itertools.groupby(self.spool.entries, key=lambda entry: entry.source):
            parts = list(run)
            digest = next((part.digest for part in parts if part.digest), "")
            counts = {kind: sum(part.n_rows[kind] for part in parts) for kind in self.spool.kinds}
            records.append(SourceRecord(name, digest, sum(part.n_slices for part in parts), counts))
        return records

    def _sources_with_kept(self, rows: Mapping[str, Rows]) -> tuple[SourceRecord, ...]:
        counts = {kind: np.diff(kind_rows.bounds).tolist() for kind, kind_rows in rows.items()}
        return tuple(
            dataclasses.replace(source, n_patches={kind: counts[kind][place] for kind in counts})
            for place, source in enumerate((*self.old_sources, *self._new_sources()))
        )


def write_synced(path: Path, text: str) -> None:
    """Write a text: readers see the old or the new one, also after a power cut."""
    with replacing(path, sync=True) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _write_calibration(folder: Path, calibration: Mapping[str, AnyArray], version: int) -> str:
    if not calibration:
        return ""
    arrays = {name: np.asarray(array) for name, array in calibration.items()}
    if pickled := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise BankError(f"calibration arrays {pickled} hold Python objects; give numbers")
    name = "calibration.npz" if version == 1 else f"calibration.v{version}.npz"
    np.savez(folder / name, **arrays)  # type: ignore[arg-type]
    return name


def _delete(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
