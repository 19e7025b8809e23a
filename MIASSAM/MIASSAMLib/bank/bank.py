"""The memory bank: normal patches of one or more feature kinds, and the search among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError, BankMismatchError
from .exact import flat_searcher_of
from .manifest import KindRecord, Manifest, ManifestDraft, find_damage, read_manifest
from .rows import READ_ERRORS, checked_rows
from .storage import RowSearcher, open_storage
from .taught import damaged_lessons, open_taught, read_taught


class MemoryBank:
    """Normal patches to compare with; made by `load`, `from_rows` or a `BankWriter`.

    Attributes:
        manifest, calibration: what the bank says of itself and of its normals.
        folder: where it lies, None = in memory only.
    """

    def __init__(
        self,
        manifest: Manifest,
        calibration: Mapping[str, AnyArray],
        searchers: Mapping[str, RowSearcher],
        folder: Path | None = None,
        taught: Mapping[str, RowSearcher] | None = None,
    ) -> None:  # five: `load` and `from_rows` give them
        self.manifest = manifest
        self.calibration = dict(calibration)
        self._searchers = dict(searchers)
        self.folder = folder
        self._taught = dict(taught or {})

    @classmethod
    def load(cls, path: Path | str, verify: bool = True, device: str = "cpu") -> MemoryBank:
        """Open a bank folder.

        Args:
            verify: compare every file with its SHA-256; otherwise only with its size.
            device: "auto", "cpu", "cuda", "cuda:N" or "mps": where to search, if the storage can.

        Raises:
            BankError: a file is missing or damaged; its name is in the message.
        """
        folder = Path(path)
        manifest = _read_sound_manifest(folder, verify)
        searchers = {kind: open_storage(folder, record, device) for kind, record in manifest.kinds.items()}
        return cls(manifest, _load_calibration(folder, manifest), searchers, folder, open_taught(folder, manifest))

    @classmethod
    def from_rows(
        cls,
        rows: Mapping[str, FloatArray],
        draft: ManifestDraft,
        calibration: Mapping[str, AnyArray] | None = None,
    ) -> MemoryBank:
        """Build an exact bank in memory from rows (M, D) per feature kind."""
        checked = {kind: checked_rows(kind, array) for kind, array in rows.items()}
        kinds = {
            kind: KindRecord("none", "in memory", len(array), array.shape[1], {}) for kind, array in checked.items()
        }
        searchers = {kind: flat_searcher_of(array) for kind, array in checked.items()}
        return cls(Manifest(draft, 0, kinds, ()), calibration or {}, searchers)

    @property
    def kinds(self) -> tuple[str, ...]:
        """Feature kinds, in the order of the build."""
        return tuple(self._searchers)

    def n_patches(self, kind: str) -> int:
        """Return how many patches of a kind the bank holds."""
        return self._searcher(kind).n_rows

    def dimension(self, kind: str) -> int:
        """Return the length of a patch embedding of a kind."""
        return self._searcher(kind).dimension

    def search_method(self, kind: str) -> str:
        """Return in words how a kind is searched."""
        return self._searcher(kind).name

    def rows_at(self, kind: str, numbers: AnyArray) -> FloatArray:
        """Return stored patches (N, D) by number; of a compressed kind up to its rounding."""
        return self._searcher(kind).rows_at(np.asarray(numbers, np.int64))

    def rows(self, kind: str, chunk_rows: int = 65536) -> Iterator[FloatArray]:
        """Yield all patches of a kind in order, as float32 (<= chunk_rows, D); see `rows_at`."""
        for start in range(0, self.n_patches(kind), chunk_rows):
            yield self.rows_at(kind, np.arange(start, min(start + chunk_rows, self.n_patches(kind))))

    def sources_of_rows(self, kind: str) -> AnyArray:
        """Return int64 (S + 1,): the patches of source s of the manifest are those from [s] up to [s + 1]."""
        return np.cumsum([0, *(source.n_patches.get(kind, 0) for source in self.manifest.sources)], dtype=np.int64)

    def places(self, kind: str) -> AnyArray | None:
        """Return where every patch of a kind comes from, float16 (M, 3); None where the bank does not say.

        x and y in the box around the slice's foreground, -0.5 to 0.5 inside it, and the depth of the slice in
        its volume, 0 to 1; NaN for patches of a source that did not say.
        """
        name = self.manifest.kinds[kind].files.get("places") if self.folder else None
        if not self.folder or not name:
            return None
        try:
            places: AnyArray = np.load(self.folder / name, allow_pickle=False)
        except READ_ERRORS as error:
            raise BankError(f"{self.folder / name} cannot be read; restore or rebuild the bank") from error
        if places.shape != (self.n_patches(kind), 3) or places.dtype != np.float16:
            raise BankError(f"{self.folder / name} holds no places of {kind} patches; restore or rebuild the bank")
        return places

    def search(self, kind: str, queries: FloatArray) -> FloatArray:
        """Return the squared L2 distance (Q,) float32 of queries (Q, D) to their nearest patch.

        Raises:
            BankMismatchError: the bank lacks the kind, or its patches are of another length.
        """
        return self.search_neighbors(kind, queries)[0]

    def search_neighbors(self, kind: str, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """Return squared distances (Q,) float32 and the nearest patches' numbers (Q,) int64; taught ones come last."""
        searcher = self._searcher(kind)
        queries = checked_rows(kind, queries)
        if queries.shape[1] != searcher.dimension:
            raise BankMismatchError(
                f"memory bank holds {searcher.dimension}-D patches but the query is {queries.shape[1]}-D; rebuild it "
                f"or load the encoder it was built with ({self.manifest.draft.model_name})"
            )
        if not searcher.n_rows:
            raise BankError(f"memory bank holds no {kind} patches; build it from slices that show the organ")
        if not len(queries):
            return np.empty(0, np.float32), np.empty(0, np.int64)
        distances, numbers = searcher.search(queries)
        if kind in self._taught:
            near, which = self._taught[kind].search(queries)
            numbers = np.where(near < distances, searcher.n_rows + which, numbers)
            distances = np.minimum(distances, near)
        return distances, numbers

    def check_fits(self, config: Mapping[str, object], model_name: str, model_digest: str) -> None:
        """Refuse an encoder or config the bank was not built with; see `Manifest.check_fits`."""
        self.manifest.check_fits(config, model_name, model_digest)

    def _searcher(self, kind: str) -> RowSearcher:
        if kind not in self._searchers:
            raise BankMismatchError(
                f"memory bank holds the feature kinds {', '.join(self.kinds)} but {kind} was asked for; "
                "use the preset it was built with or rebuild it"
            )
        return self._searchers[kind]


def verify_bank(path: Path | str) -> list[str]:
    """Return all that is wrong with a bank folder, a sentence per file; empty when it is sound and opens."""
    folder = Path(path)
    try:
        manifest = read_manifest(folder)
        damages = [find_damage(folder, name, record) for name, record in manifest.files.items()]
        damages += damaged_lessons(folder, manifest)
        if not any(damages):
            bank = MemoryBank.load(folder, verify=False)
            for kind in bank.kinds:
                bank.places(kind)
    except BankError as error:
        return [str(error)]
    return [damage for damage in damages if damage]


def bank_info(path: Path | str) -> dict[str, Any]:
    """Return what a bank says about itself as JSON-able data, without opening its indexes.

    Raises:
        BankError: the folder is no bank, or its manifest is damaged.
    """
    folder = Path(path)
    manifest = read_manifest(folder)
    draft = manifest.draft
    return {
        "path": str(folder),
        "version": manifest.version,
        "preset": draft.preset,
        "model": draft.model_name,
        "model_digest": draft.model_digest,
        "slice_axis": draft.slice_axis,
        "modality": draft.modality,
        "anatomy": draft.anatomy,
        "preprocessing": dict(draft.preprocessing),
        "n_slices": manifest.n_slices,
        "n_sources": len(manifest.sources),
        "n_bytes": sum(record.n_bytes for record in manifest.files.values()),
        "calibrated": bool(manifest.calibration_file),
        "kinds": {kind: _kind_info(manifest, record) for kind, record in manifest.kinds.items()},
        "notes": list(manifest.notes),
        "taught": [dataclasses.asdict(lesson) for lesson in read_taught(folder, manifest).values()],
    }


def _kind_info(manifest: Manifest, record: KindRecord) -> dict[str, Any]:
    n_bytes = sum(manifest.files[name].n_bytes for name in record.files.values())
    return {
        "n_patches": record.n_patches,
        "dimension": record.dimension,
        "storage": record.storage,
        "storage_reason": record.storage_reason,
        "n_bytes": n_bytes,
        "part_of_float32": round(n_bytes / max(record.n_patches * record.dimension * 4, 1), 4),
        **record.quality,
    }


def _read_sound_manifest(folder: Path, with_digest: bool) -> Manifest:
    if not folder.is_dir():
        raise BankError(f"{folder} is not a memory bank folder; give a folder made by a build")
    manifest = read_manifest(folder)
    for name, record in manifest.files.items():
        if damage := find_damage(folder, name, record, with_digest):
            raise BankError(f"{damage}; restore the file or rebuild the bank")
    return manifest


def _load_calibration(folder: Path, manifest: Manifest) -> dict[str, AnyArray]:
    if not manifest.calibration_file:
        return {}
    path = folder / manifest.calibration_file
    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except READ_ERRORS as error:
        raise BankError(f"{path} cannot be read; restore or rebuild the bank") from error
    if odd := [name for name, array in found.items() if array.dtype.kind not in "fiu" or not np.isfinite(array).all()]:
        raise BankError(f"{path} holds no finite numbers in {', '.join(odd)}; restore or rebuild the bank")
    return found
