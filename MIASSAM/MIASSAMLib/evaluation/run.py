"""Score every case of a data set with every preset, and with the baselines; what is finished is kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import PRESETS, Config, PaperConfig
from ..method import Reading
from .baselines import observe_baselines, otsu_mask
from .case_view import CaseView
from .cases import DataSet, EvaluationCase, Fold, make_folds
from .compare import Comparison
from .figure_sheet import choose_row, make_panels
from .observe import DecodeOnceModel, MeasuredReading, observe
from .record import CaseRecord, load_record, save_record
from .rows import OTSU, RowKey
from .workplace import Workplace, safe_name

BASELINES = "baselines"


@dataclass(frozen=True)
class Part:
    """The records of one preset (or of the baselines) over one fold."""

    data: DataSet
    fold: Fold
    name: str
    config: Config
    digest: str
    folder: Path

    def path(self, case: EvaluationCase) -> Path:
        """Return where a case's record is kept."""
        return self.folder / f"{safe_name(case.name)}.npz"

    def load(self, case: EvaluationCase) -> CaseRecord | None:
        """Return a case's record if this very run, or an interrupted one like it, has made it."""
        return load_record(self.path(case), case_digest(self.digest, case))

    def pending(self, failed: dict[str, str]) -> list[EvaluationCase]:
        """Return the cases still to be scored."""
        return [case for case in self.fold.scored if case.name not in failed and self.load(case) is None]


def case_digest(digest: str, case: EvaluationCase) -> str:
    """Return the digest of a case's record: the run's and the case's own files."""
    return hashlib.sha256(f"{digest} {case.name} {case.group} {case.role} {case.stamp}".encode()).hexdigest()


def score_data_set(place: Workplace, data: DataSet) -> list[Part]:
    """Score all cases of a data set; what an earlier run has finished is kept.

    Raises:
        UsageError: the cases allow no bank or no test.
        Cancelled: raised by the progress callback.
    """
    folds = make_folds(data, place.options.leave_one_group_out)
    options = place.options
    parts = [_part(place, data, fold, *named) for fold in folds for named in options.configs.items()]
    shared: dict[str, list[Part]] = {}
    for part in parts:
        shared.setdefault(Comparison.key(folds, part.config), []).append(part)
    for siblings in shared.values():
        _score_parts(place, siblings, Comparison(place, data, folds, siblings[0].config))
    name = BASELINES if options.presets else f"{BASELINES} without decoder"
    baselines = [_part(place, data, fold, name, PRESETS["published-code"]) for fold in folds]
    _score_parts(place, baselines, None)
    return parts + baselines


def _part(place: Workplace, data: DataSet, fold: Fold, name: str, config: Config) -> Part:
    options, more = place.options, []
    if not name.startswith(BASELINES):
        bank = [options.bank_step, *((case.name, case.stamp) for case in fold.sources)]
        more = [options.prompts, options.masks, bank]
    said = [
        __version__,
        name,
        config.to_dict(),
        place.model.digest,
        place.preprocessing(data).to_dict(),
        data.rule,
        more,
    ]
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    folder = place.folder / safe_name(data.name) / "records" / safe_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    return Part(data, fold, name, config, digest, folder)


def _score_parts(place: Workplace, parts: Sequence[Part], comparison: Comparison | None) -> None:
    """Score the cases of parts that share a comparison; each case is read and encoded once for all of them."""
    pending: dict[str, tuple[EvaluationCase, list[Part]]] = {}
    for part in parts:
        for case in part.pending(place.failures):
            pending.setdefault(case.name, (case, []))[1].append(part)
    if not pending:
        return
    if comparison:
        comparison.run([case for case, _ in pending.values()])
    for number, (case, wanting) in enumerate(pending.values()):
        place.progress(f"{parts[0].data.name}: scoring cases", number, len(pending))
        with place.guard(case):
            if case.name not in place.failures:
                _score_case(place, case, wanting, comparison)
    if comparison:
        comparison.discard()


def _score_case(place: Workplace, case: EvaluationCase, parts: Sequence[Part], comparison: Comparison | None) -> None:
    """Score one case for some parts: presets with a comparison, the baselines without."""
    view = CaseView.of(case, case.load(), place.preprocessing(parts[0].data), parts[0].config)
    model = DecodeOnceModel(place.model)
    for part in parts:
        if comparison is None:
            assert isinstance(part.config, PaperConfig)
            decoder = place.model if place.options.presets else None
            record = observe_baselines(decoder, view, part.config, place.progress)
        else:
            calibration = comparison.calibration(part.fold, part.config)
            squared = comparison.distances(case, part.fold)
            reading = MeasuredReading(model, part.config, calibration, view, squared)
            record = _preset_record(place, part.name, reading, view)
        save_record(part.path(case), record, case_digest(part.digest, case))


def _preset_record(place: Workplace, name: str, reading: Reading, view: CaseView) -> CaseRecord:
    config, asked = reading.config, place.asked
    start = time.perf_counter()
    seen = observe(reading, view, asked, place.progress)
    scored = time.perf_counter()
    rows = [RowKey("MIAS-SAM", name, prompt, mask, "") for prompt in asked.prompts for mask in asked.masks]
    masks = {key.text: view.mask_record(seen.masks.get(key.prompt, key.mask)) for key in rows}
    otsu = RowKey(OTSU, name, "", "", "")
    masks[otsu.text] = view.mask_record(otsu_mask(seen.heat, view.organ))
    maps = {name: view.map_record(seen.heat, seen.image_scores)}
    facts: dict[str, Any] = {"method_s": scored - start, "metrics_s": time.perf_counter() - scored}
    if name != place.headline or view.case.role != "test":
        return view.record(maps, masks, {}, {name: facts})
    panels, shown = make_panels(view, seen, choose_row(config, asked))
    return view.record(maps, masks, panels, {name: facts, "panels": shown})


def merged_records(parts: list[Part]) -> Iterator[CaseRecord]:
    """Yield each case once, with the maps and masks of every part that has it."""
    by_fold: dict[str, list[Part]] = {}
    for part in parts:
        by_fold.setdefault(part.fold.name, []).append(part)
    for siblings in by_fold.values():
        for case in siblings[0].fold.scored:
            found = [record for part in siblings if (record := part.load(case)) is not None]
            if len(found) == len(siblings):
                yield _merge(found)


def _merge(records: list[CaseRecord]) -> CaseRecord:
    maps = {name: one for record in records for name, one in record.maps.items()}
    masks = {key: mask for record in records for key, mask in record.masks.items()}
    facts = {key: value for record in records for key, value in record.facts.items()}
    panels = {name: panel for record in records for name, panel in record.panels.items()}
    return replace(records[0], maps=maps, masks=masks, facts=facts, panels=panels)
