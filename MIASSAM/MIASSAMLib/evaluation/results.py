"""From records to the files of a run: metrics.json, tables.md, slices.csv, figure sheet and report."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from .. import __version__
from ..files import check_output_dir, write_text
from ..method.embeddings import EmbeddingCache, EncodeOnceModel
from ..protocols import Progress, no_progress
from .cases import DataSet
from .figure_sheet import choose_shown, write_sheet
from .options import EvaluateOptions
from .pooling import Pool, add_level_rows, pool_records
from .rows import RowKey, level_baseline_rows, make_rows, mask_baseline_rows, method_rows
from .run import Part, merged_records, score_data_set
from .tables import render_report, render_tables
from .workplace import Workplace, safe_name

_GB = 1_000_000_000


def run_evaluation(options: EvaluateOptions, progress: Progress = no_progress) -> Path:
    """Evaluate and write everything; return the path of metrics.json.

    Interrupted runs resume from their records. Cases that cannot be read are listed under `failed`.

    Raises:
        UsageError: the cases or options are off.
        CheckpointError: the model cannot be loaded.
        Cancelled: raised by the progress callback; what was finished is kept.
    """
    from ..api import open_model

    data_sets = options.data_sets()
    check_output_dir(options.output)
    model = open_model(options.model, options.checkpoint, options.device)
    with EmbeddingCache(int(options.cache_gb * _GB), options.output) as cache:
        place = Workplace(options, EncodeOnceModel(model, cache), progress)
        scored = {data.name: score_data_set(place, data) for data in data_sets}
    prefixes = {data.name: "" if len(data_sets) == 1 else f"{safe_name(data.name)}_" for data in data_sets}
    return _write(place, data_sets, {name: _result_of(place, scored[name], prefixes[name]) for name in scored})


@dataclass(frozen=True)
class _Result:
    """What is said of one data set: rows, figure sheet, and by preset the seconds of method and metrics."""

    rows: list[dict[str, Any]]
    sheet: dict[str, Any]
    seconds: dict[str, Any]


def _result_of(place: Workplace, parts: list[Part], prefix: str) -> _Result:
    records, options = partial(merged_records, parts), place.options
    pool = pool_records(records)
    levels = level_baseline_rows(options.names)
    pairs = {first.map: (first.text, second.text) for first, second in zip(levels[::2], levels[1::2])}
    add_level_rows(pool, records, pairs)
    keys = method_rows(options.names, options.prompts, options.masks)
    keys += [*mask_baseline_rows(options.names), *levels]
    _write_slices(options.output / f"{prefix}slices.csv", pool, keys)
    sheet = write_sheet(options.output / f"{prefix}figure_sheet.png", choose_shown(records))
    return _Result(make_rows(pool, keys, place.model.name), sheet, pool.seconds)


def _write_slices(path: Path, pool: Pool, keys: list[RowKey]) -> None:
    """Write the Dice of every anomalous slice in every row."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "preset", "prompt", "mask", "case", "slice", "dice"])
        for key in keys:
            for case, index, score in pool.masks[key.text].slices if key.text in pool.masks else []:
                writer.writerow([key.method, key.preset, key.prompt, key.mask, case, index, f"{score:.6f}"])


def _write(place: Workplace, data_sets: list[DataSet], results: dict[str, _Result]) -> Path:
    options = place.options
    rows = {name: result.rows for name, result in results.items()}
    sheets = {name: result.sheet for name, result in results.items()}
    failed = [{"case": case, "reason": reason} for case, reason in place.failures.items()]
    content = {
        "rows": [{"data_set": name, **row} for name, found in rows.items() for row in found],
        "run": _describe(place, data_sets),
        "seconds": {name: result.seconds for name, result in results.items()},
        "figure_sheets": sheets,
        "failed": failed,
    }
    path = options.output / "metrics.json"
    write_text(path, json.dumps(content, indent=1))
    header = _header(place)
    tables = render_tables(rows, header, {data.name: data.rule for data in data_sets})
    for target in filter(None, (options.output / "tables.md", options.tables)):
        write_text(target, tables)
    write_text(options.output / "report.html", render_report(rows, header, sheets, failed))
    return path


def _describe(place: Workplace, data_sets: list[DataSet]) -> dict[str, Any]:
    options, model = place.options, place.model
    return {
        "version": __version__,
        "model": {"name": model.name, "sha256": model.digest, "device": model.device},
        "data_sets": [
            {"name": data.name, "truth": data.rule, "preprocessing": place.preprocessing(data).to_dict()}
            for data in data_sets
        ],
        "leave_one_group_out": options.leave_one_group_out,
        "bank_step": options.bank_step,
        "presets": list(options.presets),
        "no_bank": options.no_bank,
        "contrasts": [str(path) for path in options.contrasts],
        "prompts": list(options.prompts),
        "masks": list(options.masks),
    }


def _header(place: Workplace) -> list[str]:
    options, model = place.options, place.model
    banks = "every normal slice" if options.bank_step == 1 else f"every {options.bank_step}th normal slice of a volume"
    split = (
        "each group tested on a bank of the others' lesion-free slices" if options.leave_one_group_out else "one bank"
    )
    lines = ["", f"Made by `{options.command}`."] if options.command else []
    lines += [
        "",
        f"Model {model.name} ({model.digest[:12]}), version {__version__}; {split}, of {banks}.",
        "A group is a patient; nothing was tuned on the tested cases except in rows marked oracle.",
    ]
    if place.failures:
        lines += ["", f"{len(place.failures)} cases could not be used:"]
        lines += [f"* {case}: {reason}" for case, reason in place.failures.items()]
    return lines
