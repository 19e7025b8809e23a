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
from ..config import PRESETS, PaperConfig
from ..errors import InputError
from ..method import Reading
from ..method.embeddings import EmbeddingCache
from .baselines import observe_baselines, otsu_mask
from .case_view import CaseView
from .cases import DataSet, EvaluationCase, Fold, make_folds
from .compare import Comparison
from .figure_sheet import choose_row, make_panels
from .observe import DecodeOnceModel, MeasuredReading, observe
from .options import Way
from .record import CaseRecord, load_record, save_record
from .rows import OTSU, RowKey
from .workplace import Workplace, safe_name

BASELINES = "baselines"


@dataclass(frozen=True)
class Part:
    """The records of one way (or of the baselines) over one fold."""

    data: DataSet
    fold: Fold
    way: Way
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


@dataclass(frozen=True)
class Contrast:
    """The cases of a data set in one contrast, beside the banks of its folds or none."""

    data: DataSet
    folds: Sequence[Fold]
    comparison: Comparison | None = None

    def case(self, name: str) -> EvaluationCase:
        """Return the case of a name."""
        return next(case for case in self.data.cases if case.name == name)

    def view(self, name: str, place: Workplace, way: Way) -> CaseView:
        """Read and cut a case."""
        case = self.case(name)
        return CaseView.of(case, case.load(), place.preprocessing(self.data), way.config)

    def reading(self, model: Any, part: Part, view: CaseView) -> Reading:
        """Return a case beside the bank of a part's fold, or by itself."""
        if self.comparison is None:
            return Reading(model, None, part.way.config, view.prepared, EmbeddingCache())
        fold = next(fold for fold in self.folds if fold.name == part.fold.name)
        calibration = self.comparison.calibration(fold, part.way.config)
        squared = self.comparison.distances(view.case, fold)
        return MeasuredReading(model, part.way.config, calibration, view, squared)


def case_digest(digest: str, case: EvaluationCase) -> str:
    """Return the digest of a case's record: the run's and the case's own files."""
    return hashlib.sha256(f"{digest} {case.name} {case.group} {case.role} {case.stamp}".encode()).hexdigest()


def score_data_set(place: Workplace, data: DataSet) -> list[Part]:
    """Score all cases of a data set; what an earlier run has finished is kept.

    Raises:
        UsageError: the cases allow no bank or no test.
        Cancelled: raised by the progress callback.
    """
    options = place.options
    sets = [data, *options.contrast_sets(data)]
    folds = [make_folds(one, options.leave_one_group_out, bool(options.presets)) for one in sets]
    parts = [_part(place, sets, fold, way) for fold in folds[0] for way in options.ways]
    shared: dict[str, list[Part]] = {}
    for part in parts:
        key = Comparison.key(folds[0], part.way.config) if part.way.has_bank else ""
        shared.setdefault(key, []).append(part)
    for siblings in shared.values():
        wanted = list(zip(sets, folds, strict=True))[: None if any(part.way.is_joined for part in siblings) else 1]
        _score_parts(place, siblings, [_contrast(place, *one, siblings[0].way) for one in wanted])
    name = BASELINES if options.names else f"{BASELINES} without decoder"
    baselines = [_part(place, sets[:1], fold, Way(name, PRESETS["published-code"], False)) for fold in folds[0]]
    _score_parts(place, baselines, [Contrast(data, folds[0])])
    return parts + baselines


def _contrast(place: Workplace, data: DataSet, folds: Sequence[Fold], way: Way) -> Contrast:
    return Contrast(data, folds, Comparison(place, data, folds, way.config) if way.has_bank else None)


def _part(place: Workplace, sets: Sequence[DataSet], fold: Fold, way: Way) -> Part:
    options, more = place.options, []  # type: tuple[Any, list[Any]]
    data, name, config = sets[0], way.name, way.config
    if not name.startswith(BASELINES):
        bank = [options.bank_step, *((case.name, case.stamp) for case in fold.sources)] if way.has_bank else []
        beside = [case.stamp for other in sets[1:] for case in other.cases] if way.is_joined else []
        more = [options.prompts, options.masks, bank, *([beside] if beside else [])]
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
    return Part(data, fold, way, digest, folder)


def _score_parts(place: Workplace, parts: Sequence[Part], contrasts: Sequence[Contrast]) -> None:
    """Score the cases of parts that share comparisons; each case is read and encoded once for all of them."""
    pending: dict[str, tuple[EvaluationCase, list[Part]]] = {}
    for part in parts:
        for case in part.pending(place.failures):
            pending.setdefault(case.name, (case, []))[1].append(part)
    if not pending:
        return
    comparisons = [(one, one.comparison) for one in contrasts if one.comparison]
    for contrast, comparison in comparisons:
        comparison.run([contrast.case(name) for name in pending])
    for number, (case, wanting) in enumerate(pending.values()):
        place.progress(f"{parts[0].data.name}: scoring cases", number, len(pending))
        with place.guard(case):
            if case.name not in place.failures:
                _score_case(place, case, wanting, contrasts)
    for _, comparison in comparisons:
        comparison.discard()


def _score_case(place: Workplace, case: EvaluationCase, parts: Sequence[Part], contrasts: Sequence[Contrast]) -> None:
    """Score one case for some parts, the baselines among them."""
    views = [contrast.view(case.name, place, parts[0].way) for contrast in contrasts]
    if any(view.prepared.plane != views[0].prepared.plane for view in views):
        raise InputError(f"{case.name}: its contrasts lie on different grids; save them on one first")
    model = DecodeOnceModel(place.model)
    for part in parts:
        config = part.way.config
        if isinstance(config, PaperConfig) and part.way.name.startswith(BASELINES):
            record = observe_baselines(place.model if place.options.names else None, views[0], config, place.progress)
        else:
            pairs = list(zip(contrasts, views, strict=True))[: None if part.way.is_joined else 1]
            reading, *others = (contrast.reading(model, part, view) for contrast, view in pairs)
            reading.others = tuple(others)
            record = _preset_record(place, part.way.name, reading, views[0])
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
