"""Run an evaluation: build each fold's bank, score its cases, add up, write the tables."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..bank import MemoryBank
from ..config import PRESETS, Config, PaperConfig, preset
from ..errors import BankError, InputError
from ..method import BuildOptions, BuildSource, LocalEncoder, Preprocessing, Segmenter, build_bank
from ..method.encode_once import EncodeOnceModel
from ..protocols import Progress, SamModel, no_progress
from .baselines import otsu_mask
from .case_view import CaseView
from .datasets import DataSet, EvaluationCase
from .folds import Fold, make_folds
from .observe import Asked, observe
from .observe_baselines import observe_baselines
from .options import EvaluateOptions
from .panels import choose_row, make_panels
from .record import CaseRecord, load_record, save_record
from .row_keys import ROW_OTSU, RowKey

BASELINES = "baselines"
_GB = 1_000_000_000


@dataclass
class Workplace:
    """What one run shares: options, model, and where records are kept."""

    options: EvaluateOptions
    model: SamModel
    progress: Progress = no_progress
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of everything needed to resume."""
        return self.options.output / "work"

    @property
    def headline(self) -> str:
        """Return the preset whose pictures are shown."""
        presets = self.options.presets
        return "refined" if "refined" in presets else presets[0]

    @property
    def asked(self) -> Asked:
        """The rows wanted of each preset."""
        return Asked(self.options.prompts, self.options.masks)

    def preprocessing(self, data: DataSet) -> Preprocessing:
        """Return how the cases of a data set are cut and scaled."""
        own = self.options.preprocessing
        window = data.window if data.window is not None and own.window == "auto" else own.window
        return Preprocessing(own.axis, window, own.modality or data.modality)


@dataclass(frozen=True)
class Part:
    """The records of one preset (or of the baselines) over one fold."""

    data: DataSet
    fold: Fold
    name: str
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


def safe_name(name: str) -> str:
    """Return a name usable as a file name, still unique."""
    short = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-80:]
    return short if short == name else f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


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
    parts = []
    for fold in folds:
        for name in place.options.presets:
            parts.append(_score_preset(place, data, fold, preset(name)))
        parts.append(_score_baselines(place, data, fold))
    return parts


def _part(place: Workplace, data: DataSet, fold: Fold, name: str, config: Config) -> Part:
    is_preset = name in place.options.presets
    said = {
        "version": __version__,
        "config": config.to_dict(),
        "model": place.model.digest,
        "preprocessing": place.preprocessing(data).to_dict(),
        "rule": data.rule,
        "rows": [place.options.prompts, place.options.masks] if is_preset else [],
        "bank": [place.options.bank_step, *((case.name, case.stamp) for case in fold.sources)] if is_preset else [],
    }
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
    folder = place.folder / safe_name(data.name) / "records" / safe_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    return Part(data, fold, name, digest, folder)


def _score_preset(place: Workplace, data: DataSet, fold: Fold, config: Config) -> Part:
    part = _part(place, data, fold, config.preset, config)
    pending = part.pending(place.failures)
    if not pending:
        return part
    bank_name = f"{safe_name(fold.name)}-{safe_name(config.preset)}-{part.digest[:8]}.bank"
    bank_path = place.folder / safe_name(data.name) / bank_name
    bank = _open_bank(place, data, fold, config, bank_path)
    segmenter = Segmenter(place.model, bank, config, place.preprocessing(data))
    for number, case in enumerate(pending):
        place.progress(f"{data.name}, bank without {fold.name}: {config.preset}", number, len(pending))
        _keep(place, part, case, lambda view: _preset_record(place, segmenter, view))
    shutil.rmtree(bank_path, ignore_errors=True)
    return part


def _score_baselines(place: Workplace, data: DataSet, fold: Fold) -> Part:
    config = PRESETS["published-code"]
    assert isinstance(config, PaperConfig)
    model = place.model if place.options.presets else None
    part = _part(place, data, fold, BASELINES if model else f"{BASELINES} without decoder", config)
    for case in part.pending(place.failures):
        _keep(place, part, case, lambda view: observe_baselines(model, view, config, place.progress))
    return part


def _keep(place: Workplace, part: Part, case: EvaluationCase, score: Any) -> None:
    """Score a case and keep its record; a bad input is one failed case, the rest go on."""
    try:
        record = score(CaseView.of(case, case.load(), place.preprocessing(part.data)))
    except InputError as error:
        place.failures[case.name] = str(error)
        return
    save_record(part.path(case), record, case_digest(part.digest, case))


def _preset_record(place: Workplace, segmenter: Segmenter, view: CaseView) -> CaseRecord:
    config, asked = segmenter.config, place.asked
    start = time.perf_counter()
    seen = observe(segmenter, view, asked, place.progress)
    scored = time.perf_counter()
    rows = [RowKey("MIAS-SAM", config.preset, prompt, mask, "") for prompt in asked.prompts for mask in asked.masks]
    masks = {key.text: view.mask_record(seen.masks.get(key.prompt, key.mask)) for key in rows}
    otsu = RowKey(ROW_OTSU, config.preset, "", "", "")
    masks[otsu.text] = view.mask_record(otsu_mask(seen.heat, view.organ))
    maps = {config.preset: view.map_record(seen.heat, seen.image_scores)}
    facts: dict[str, Any] = {"method_s": scored - start, "metrics_s": time.perf_counter() - scored}
    if config.preset != place.headline or view.case.role != "test":
        return view.record(maps, masks, {}, {config.preset: facts})
    panels, shown = make_panels(view, seen, choose_row(config, asked))
    return view.record(maps, masks, panels, {config.preset: facts, "panels": shown})


def _open_bank(place: Workplace, data: DataSet, fold: Fold, config: Config, path: Path) -> MemoryBank:
    """Open the fold's bank, or build it; an interrupted build resumes, a bad source is left out and named."""
    if path.exists():
        try:
            return MemoryBank.load(path)
        except BankError:
            shutil.rmtree(path)
    options = BuildOptions(place.preprocessing(data))
    encoder = LocalEncoder(place.model, config, options.preprocessing, every=place.options.bank_step)
    while True:
        sources = [_source(place, case) for case in fold.sources if case.name not in place.failures]
        known = len(place.failures)
        try:
            return build_bank(path, sources, place.model, config, options, place.progress, encoder)
        except InputError:
            if len(place.failures) == known:
                raise


def _source(place: Workplace, case: EvaluationCase) -> BuildSource:
    def load() -> Any:
        try:
            labeled = case.load()
        except InputError as error:
            place.failures[case.name] = str(error)
            raise
        return labeled.volume, labeled.truth_kji if labeled.truth_kji.any() else None

    return BuildSource(case.name, load, case.stamp)


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


def open_model(options: EvaluateOptions, model: SamModel | None = None) -> EncodeOnceModel:
    """Load the model, wrapped so that each slice is encoded once for all rows."""
    from ..sam import load_model

    inner = model or load_model(options.model, options.checkpoint, options.device)
    return EncodeOnceModel(inner, options.output / "work" / "embeddings", int(options.cache_gb * _GB))
