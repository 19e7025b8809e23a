"""From records to the files of a run: metrics.json, tables.md, slices.csv, figure sheet and report."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import __version__
from ..files import write_text
from ..protocols import Progress, no_progress
from .datasets import DataSet
from .figure_sheet import choose_shown, facts_of, fill_pictures, write_sheet
from .html_report import render_report
from .options import EvaluateOptions
from .pooling import Pool, add_level_rows, pool_records
from .record import CaseRecord
from .row_keys import RowKey, level_baseline_rows, mask_baseline_rows, method_rows
from .rows import make_rows
from .run import Part, Workplace, merged_records, open_model, safe_name, score_data_set
from .tables import render_tables


def run_evaluation(options: EvaluateOptions, progress: Progress = no_progress) -> Path:
    """Evaluate and write everything; return the path of metrics.json.

    Interrupted runs resume from their records. Cases that cannot be read are listed under `failed`.

    Raises:
        UsageError: the cases or options are off.
        CheckpointError: the model cannot be loaded.
        Cancelled: raised by the progress callback; what was finished is kept.
    """
    from ..volume_io import check_output_dir

    data_sets = options.data_sets()
    check_output_dir(options.output)
    place = Workplace(options, open_model(options), progress)
    scored = {data.name: score_data_set(place, data) for data in data_sets}
    rows, sheets, facts = {}, {}, {}
    for data in data_sets:
        parts = scored[data.name]
        rows[data.name], facts[data.name] = _rows_of(
            place, parts, options.output / _file(data_sets, data, "slices.csv")
        )
        sheets[data.name] = _sheet_of(parts, options.output / _file(data_sets, data, "figure_sheet.png"))
    path = _write(place, data_sets, rows, sheets, facts)
    shutil.rmtree(place.folder / "embeddings", ignore_errors=True)
    return path


def _file(data_sets: list[DataSet], data: DataSet, name: str) -> str:
    return name if len(data_sets) == 1 else f"{safe_name(data.name)}_{name}"


def _rows_of(place: Workplace, parts: list[Part], slices_csv: Path) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    def records() -> Iterator[CaseRecord]:
        return merged_records(parts)

    options = place.options
    pool = pool_records(records)
    levels = level_baseline_rows(options.presets)
    pairs = {first.map: (first.text, second.text) for first, second in zip(levels[::2], levels[1::2])}
    add_level_rows(pool, records, pairs)
    keys = method_rows(options.presets, options.prompts, options.masks)
    keys += [*mask_baseline_rows(options.presets), *levels]
    _write_slices(slices_csv, pool, keys)
    return make_rows(pool, keys, place.model.name), _seconds(records, options.presets)


def _seconds(records: Any, presets: tuple[str, ...]) -> dict[str, Any]:
    """Return the time the method and the metrics took, by preset."""
    sums = {name: {"method_s": 0.0, "metrics_s": 0.0} for name in presets}
    for record in records():
        for name, kept in sums.items():
            for key in kept:
                kept[key] += float(record.facts.get(name, {}).get(key, 0.0))
    return sums


def _write_slices(path: Path, pool: Pool, keys: list[RowKey]) -> None:
    """Write the Dice of every anomalous slice in every row."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["method", "preset", "prompt", "mask", "case", "slice", "dice"])
        for key in keys:
            for case, index, score in pool.masks[key.text].slices if key.text in pool.masks else []:
                writer.writerow([key.method, key.preset, key.prompt, key.mask, case, index, f"{score:.6f}"])


def _sheet_of(parts: list[Part], path: Path) -> dict[str, Any]:
    shown = fill_pictures(choose_shown(merged_records(parts)), merged_records(parts))
    if not shown:
        return {}
    return {"file": write_sheet(path, shown).name, "rows": facts_of(shown)}


def _write(
    place: Workplace,
    data_sets: list[DataSet],
    rows: dict[str, list[dict[str, Any]]],
    sheets: dict[str, dict[str, Any]],
    facts: dict[str, Any],
) -> Path:
    options = place.options
    failed = [{"case": case, "reason": reason} for case, reason in place.failures.items()]
    content = {
        "rows": [{"data_set": name, **row} for name, found in rows.items() for row in found],
        "run": _describe(place, data_sets),
        "seconds": facts,
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
