"""Leave groups out without a bank for each: every case is compared with every other once.

What is built as one bank is a unit: a case where groups are left out in turn, else all normal cases together. The
squared distances of a case's patches to the nearest row of one unit are kept in a file. What the bank of a fold would
answer is the minimum over the units the fold may see, exactly; so the folds share one set of rows, a held-out normal
slice is measured once for all of them, and presets whose banks hold the same rows share everything.
"""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import AnyArray, FloatArray
from ..bank import MemoryBank, bank_info
from ..config import PATCH_GRID, Config, RefinedConfig
from ..errors import BankError, InputError
from ..files import atomic_path
from ..method import (
    BuildOptions,
    BuildSource,
    LocalEncoder,
    build_bank,
    encode_slices,
    normal_slices,
)
from ..method.calibration import Calibration, HeldOutDistances, PatchDistances
from ..method.features import contrast_maps, foreground_patches, search_slice
from ..method.held_out import held_out_rank
from ..method.patches import patch_places
from .case_view import CaseView
from .cases import DataSet, EvaluationCase, Fold
from .workplace import Workplace, safe_name

_OPEN_BYTES = 2**30
"""Rows of this size are searched at once; more units are opened one chunk after the other."""


Units = dict[str, tuple[EvaluationCase, ...]]
"""Cases whose normal slices make one bank, by the name of the unit."""


class Comparison:
    """The cases of a data set beside the units of its folds, for one config's rows.

    Args:
        place: model, options and progress of the run.
        data: the data set.
        folds: its folds.
        config: the config of the rows; presets of one `key` share a comparison.
    """

    def __init__(self, place: Workplace, data: DataSet, folds: Sequence[Fold], config: Config) -> None:
        self._place, self._data, self._folds = place, data, folds
        self.units = units_of(folds)
        self._config = config
        self._calibrations: dict[tuple[str, str], dict[str, AnyArray]] = {}
        self._preprocessing = place.preprocessing(data)
        said = [__version__, place.model.digest, self._preprocessing.to_dict(), place.options.bank_step]
        cases = [(case.name, case.stamp) for unit in self.units.values() for case in unit]
        digest = hashlib.sha256(json.dumps([*said, self.key(folds, config), cases]).encode()).hexdigest()
        self.folder = place.folder / safe_name(data.name) / f"rows-{digest[:12]}"

    @staticmethod
    def key(folds: Sequence[Fold], config: Config) -> str:
        """Return what presets that can share a comparison have in common."""
        if _calibrates_itself(folds, config):
            return config.digest()
        return f"{config.row_digest()} {config.is_calibrated} {config.seed}"

    def run(self, cases: Iterable[EvaluationCase]) -> None:
        """Build the units and measure the cases; what an earlier run has finished stays."""
        place = self._place
        for unit in self.units:
            self._build(unit)
        wanted = {case.name: case for case in cases}
        if self._config.is_calibrated and len(self.units) > 1:
            wanted |= {name: cases[0] for name, cases in self.units.items()}
        for banks in self._chunks():
            for number, case in enumerate(wanted.values()):
                place.progress(f"{self._data.name}: comparing with {len(banks)} banks", number, len(wanted))
                others = {name: bank for name, bank in banks.items() if case not in self.units[name]}
                missing = {name: bank for name, bank in others.items() if not self._path(case, name).exists()}
                if missing and case.name not in place.failures:
                    with place.guard(case):
                        self._measure(case, missing)

    def distances(self, case: EvaluationCase, fold: Fold) -> FloatArray:
        """Return squared distances (kinds, S, N) of a case's counted slices to the nearest row of the fold's bank.

        Raises:
            BankError: no other case of the fold has a normal slice.
        """
        paths = [self._path(case, unit) for unit in self._seen(fold) if case not in self.units[unit]]
        if not paths:
            raise BankError(f"{fold.name}: the other cases have no normal slice to compare with; add normal cases")
        found = (np.load(path, allow_pickle=False) for path in paths)
        return np.asarray(functools.reduce(np.minimum, found), np.float32)

    def calibration(self, fold: Fold, config: Config) -> dict[str, AnyArray]:
        """Return the calibration of a fold's bank: its held-out slices beside the rows of its other volumes."""
        key = (fold.name, config.digest())
        if key not in self._calibrations:
            self._calibrations[key] = self._calibrate(fold, config)
        return self._calibrations[key]

    def _calibrate(self, fold: Fold, config: Config) -> dict[str, AnyArray]:
        if not isinstance(config, RefinedConfig):
            return {}
        units = self._seen(fold)
        if _calibrates_itself(self._folds, config):
            return dict(MemoryBank.load(self._bank(units[0]), verify=False).calibration) if units else {}
        found = [(unit, int(index)) for unit in units for index in self._notes(unit)["index"]]
        kept = sorted(held_out_rank(unit, index, config) for unit, index in found)[: config.held_out_slices]
        measured = {
            rank: one
            for unit in units
            for one in self._held_out(unit, fold, config)
            if (rank := held_out_rank(one.source, one.index, config)) in kept
        }
        chosen = [measured[rank] for rank in kept if rank in measured]
        return Calibration.fit(chosen, config).to_arrays() if chosen else {}

    def discard(self) -> None:
        """Delete the rows and distances."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _seen(self, fold: Fold) -> list[str]:
        """Return the units in a fold's bank."""
        return [name for name, cases in self.units.items() if cases[0] in fold.sources and self._bank(name).exists()]

    def _bank(self, unit: str) -> Path:
        return self.folder / f"{safe_name(unit)}.bank"

    def _folder_of(self, case: EvaluationCase) -> Path:
        stamp = hashlib.sha256(case.stamp.encode()).hexdigest()[:8]
        folder = self.folder / f"{safe_name(case.name)}-{stamp}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _path(self, case: EvaluationCase, unit: str) -> Path:
        return self._folder_of(case) / f"beside {safe_name(unit)}.npy"

    def _chunks(self) -> Iterator[dict[str, MemoryBank]]:
        """Yield the banks of the units that have rows, as many at a time as may be open."""
        banks: dict[str, MemoryBank] = {}
        size = 0
        for unit, path in ((unit, self._bank(unit)) for unit in self.units if self._bank(unit).exists()):
            n_bytes = bank_info(path)["n_bytes"]
            if banks and size + n_bytes > _OPEN_BYTES:
                yield banks
                banks, size = {}, 0
            banks[unit] = MemoryBank.load(path, verify=False)
            size += n_bytes
        if banks:
            yield banks

    def _build(self, unit: str) -> None:
        """Build a unit's bank; a bad source is left out and named, an interrupted build goes on."""
        path, place, cases = self._bank(unit), self._place, self.units[unit]
        if path.exists():
            return
        is_one_of_many = len(self.units) > 1
        if is_one_of_many:
            with place.guard(cases[0]):
                self._note_normals(cases[0])
            if unit in place.failures or not len(self._notes(unit)["index"]):
                return
        config = self._config
        storage = {"compress": "none"} if is_one_of_many else {}
        options = BuildOptions(self._preprocessing, writer=storage, calibrate=_calibrates_itself(self._folds, config))
        encoder = LocalEncoder(place.model, config, self._preprocessing, every=place.options.bank_step)
        while True:
            sources = [self._source(case) for case in cases if case.name not in place.failures]
            known = len(place.failures)
            try:
                build_bank(path, sources, place.model, config, options, place.progress, encoder)
                return
            except InputError:
                if len(place.failures) == known:
                    raise

    def _source(self, case: EvaluationCase) -> BuildSource:
        def load() -> Any:
            with self._place.noting(case):
                labeled = case.load()
            return labeled.volume, labeled.truth_kji if labeled.truth_kji.any() else None

        return BuildSource(case.name, load, case.stamp)

    def _note_normals(self, case: EvaluationCase) -> None:
        """Keep what calibration needs of a case's normal slices; a case without one has no bank."""
        labeled = case.load()
        view = CaseView.of(case, labeled, self._preprocessing, self._config)
        prepared, config = view.prepared, self._config
        lesion = labeled.truth_kji if labeled.truth_kji.any() else None
        normal = normal_slices(prepared, lesion, config.lesion_margin)[:: self._place.options.bank_step]
        foregrounds = np.array([prepared.foreground_map(index) for index in normal], bool)
        arrays: dict[str, Any] = {"index": np.array(normal, int), "foreground": foregrounds}
        if isinstance(config, RefinedConfig):
            side = self._place.model.input_px
            maps = [contrast_maps(prepared, n, prepared.rasters([n], side, config)[0], config) for n in normal]
            names = maps[0] if maps else ()
            arrays |= {f"contrast_{name}": np.array([one[name] for one in maps]) for name in names}
            arrays["row"] = np.searchsorted(view.slices, normal)
            arrays["depth"] = np.array([prepared.depth(index) for index in normal])
            arrays["pixel_mm"] = np.array(prepared.plane.pixel_mm)
        with atomic_path(self._notes_path(case)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)

    def _notes_path(self, case: EvaluationCase) -> Path:
        return self._folder_of(case) / "normals.npz"

    def _notes(self, unit: str) -> dict[str, AnyArray]:
        with np.load(self._notes_path(self.units[unit][0]), allow_pickle=False) as notes:
            return dict(notes)

    def _held_out(self, unit: str, fold: Fold, config: RefinedConfig) -> Iterator[HeldOutDistances]:
        """Yield the normal slices of a case beside the rows of the fold's other cases."""
        distances, notes = self.distances(self.units[unit][0], fold), self._notes(unit)
        for number, index in enumerate(notes["index"]):
            foreground = notes["foreground"][number]
            wanted = foreground_patches(foreground, config)
            if wanted.any():
                squared = dict(zip(config.features, distances[:, notes["row"][number]], strict=True))
                depth, pixel_mm = float(notes["depth"][number]), float(notes["pixel_mm"])
                patches = PatchDistances(squared, wanted, patch_places(foreground), depth)
                named = ((name, notes[name][number]) for name in notes if name.startswith("contrast_"))
                contrasts = {name.removeprefix("contrast_"): values for name, values in named}
                yield HeldOutDistances(patches, foreground, contrasts, unit, int(index), pixel_mm)

    def _measure(self, case: EvaluationCase, banks: Mapping[str, MemoryBank]) -> None:
        """Compare a case's counted slices with some units' banks and keep the squared distances."""
        view = CaseView.of(case, case.load(), self._preprocessing, self._config)
        config, indexes = self._config, [int(index) for index in view.slices]
        found = {name: np.zeros((len(config.features), len(indexes), PATCH_GRID**2), np.float32) for name in banks}
        for row, encoded in enumerate(encode_slices(self._place.model, view.prepared, indexes, config)):
            for name, bank in banks.items():
                found[name][:, row] = [search_slice(encoded, bank, kind, config) for kind in config.features]
        for name, squared in found.items():
            with atomic_path(self._path(case, name)) as temporary, temporary.open("wb") as file:
                np.save(file, squared)


def units_of(folds: Sequence[Fold]) -> Units:
    """Return what is built as one bank: all sources of a single fold, else every case by itself."""
    if len(folds) == 1:
        return {"all": folds[0].sources}
    return {case.name: (case,) for fold in folds for case in fold.sources}


def _calibrates_itself(folds: Sequence[Fold], config: Config) -> bool:
    """Tell whether a bank of one unit is calibrated when it is built, for want of others to compare with."""
    return config.is_calibrated and any(len(folds) == 1 or len(fold.sources) == 1 for fold in folds)
