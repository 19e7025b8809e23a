"""tables.md and report.html: measured rows, the paper's tables for this program, published figures marked as such."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..config import preset
from ..outputs import render_page
from .counting import FOUND_SHARE, MIN_LESION_PX
from .pooling import LARGE_PX, NORMAL_QUANTILE
from .ranking import FPR_LIMIT
from .rows import CEILING, SIMPLE_MAPS, preset_name_of, simple_row

DATA_SETS = ("brain", "liver", "retina")

TABLE_1: dict[str, tuple[tuple[float, float], ...]] = {
    "RD4AD": ((96.45, 28.28), (96.01, 10.72), (96.18, 33.51)),
    "PatchCore": ((96.97, 32.82), (96.43, 10.49), (96.48, 57.04)),
    "CFA": ((96.33, 30.22), (97.24, 14.93), (91.10, 36.57)),
    "CFlow-AD": ((93.76, 19.50), (92.41, 7.58), (93.78, 44.83)),
    "SimpleNet": ((94.76, 28.96), (97.51, 12.26), (77.14, 30.28)),
    "ReContrast": ((95.64, 12.57), (98.02, 15.03), (97.96, 25.02)),
    "MIAS-SAM": ((96.35, 37.04), (97.56, 42.85), (99.76, 51.21)),
}
"""P-AUROC and Dice in percent by method, for brain, liver and retina (paper, Table 1)."""

TABLE_2 = {
    "1": (23.61, 15.05, 26.08),
    "2": (32.65, 25.32, 48.06),
    "3": (37.06, 42.85, 51.21),
}
"""Dice in percent by mask (paper, Table 2)."""

TABLE_3 = {
    "box": (15.93, 14.81, 65.80),
    "max": (31.54, 42.70, 38.11),
    "cog": (37.06, 42.85, 51.21),
}
"""Dice in percent by prompt (paper, Table 3)."""

CAVEATS = (
    "The Dice of the first six methods is pooled over all test pixels at a level fitted on a labeled validation "
    "split; MIAS-SAM's is the mean over anomalous slices. They are different statistics.",
    "The published code normalizes maps over the whole test set, pads RESC to a square (which raises its P-AUROC) "
    "and resizes the truth bilinearly. Here every figure is over the original pixels of each slice.",
)


Row = dict[str, Any]

MANY_VOLUMES = 12
"""With more volumes than this there is no column for each."""

COLUMNS = {
    "p_auroc": "P-AUROC",
    "p_auroc_foreground": "P-AUROC in organ",
    "p_ap": "P-AP",
    "aupro": "AUPRO",
    "image_auroc": "image AUROC",
    "dice_slice": "Dice per anomalous slice",
    "dice_slice_large": f"the same, over {LARGE_PX} px",
    "dice_pooled": "Dice pooled",
    "dice_volume": "Dice per volume",
    "normal_marked": "normal slices marked",
    "false_area_normal": "false area on normal slices",
    "lesion_sensitivity": "lesion sensitivity",
}

HOW = f"""Percent. Below each figure of the first table stands its 95 % bootstrap interval over groups (patients).
Only original pixels count, of slices that show the organ or an anomaly.

* **P-AUROC**, **P-AP** (average precision), **AUPRO** (false-positive rate up to {FPR_LIMIT:g}, regions per slice,
  corners connect): over all pixels of all slices. **In organ**: over the pixels of the organ only, since the
  background is trivially normal and hides failure.
* **Dice per anomalous slice**: mean over the slices that hold an anomalous pixel; and over those with more than
  {LARGE_PX} anomalous pixels. **Pooled**: over the pixels of all slices together. **Per volume**: mean over volumes
  that hold an anomaly, every slice counted.
* **Normal slices marked**: share of the lesion-free slices on which anything is marked. **False area**: share of a
  lesion-free slice that is marked, mean over lesion-free slices.
* **Lesion sensitivity**: share of lesions (connected in 3-D, from {MIN_LESION_PX} voxels) of which at least
  {FOUND_SHARE:.0%} is marked.
* **Held-out quantile**: the level that {NORMAL_QUANTILE:.1%} of the organ's pixels on held-out normal slices stay
  below; where groups are left out in turn, the lesion-free slices of the other groups.
* **(oracle)**: uses the truth of the tested cases; a ceiling, not a method.
"""


SHORT = ("p_auroc_foreground", "p_ap", "dice_slice", "dice_volume", "normal_marked")
"""Columns of the short table."""


def render_tables(by_data_set: dict[str, list[Row]], header: Sequence[str], rules: dict[str, str]) -> str:
    """Return tables.md for the rows of each data set."""
    parts = ["# Results", *header, "", "## How to read them", "", HOW]
    for name, rows in by_data_set.items():
        parts += [f"## {name}", "", _counts(rows, rules.get(name, "")), "", *_in_short(rows), _measured(rows), ""]
        parts += _by_volume(rows)
    parts += _paper_tables(by_data_set)
    return "\n".join(parts) + "\n"


def render_report(
    by_data_set: dict[str, list[Row]],
    header: Sequence[str],
    sheets: dict[str, dict[str, Any]],
    failed: list[dict[str, str]],
) -> str:
    """Return the HTML page of all rows and failed cases; figure sheets are linked by file name, beside it."""
    parts = [
        {
            "name": name,
            "titles": ("method", *COLUMNS.values()),
            "rows": [{"name": name_of(row), "is_oracle": row["is_oracle"], "cells": _cells(row)} for row in rows],
            "sheet": sheets[name].get("file", ""),
        }
        for name, rows in by_data_set.items()
    ]
    return render_page("evaluation.html", title="Evaluation", header=header, parts=parts, failed=failed, how=HOW)


def name_of(row: Row) -> str:
    """Return a row's method in words."""
    words = [row["method"], row["preset"]]
    words += [f"{label} {row[key]}" for key, label in (("prompt", "prompt"), ("mask", "mask")) if row[key]]
    return ", ".join(word for word in words if word)


def percent(value: float | None) -> str:
    """Return a fraction as percent with two decimals, a dash where it is undefined."""
    return "-" if value is None else f"{100 * value:.2f}"


def _counts(rows: list[Row], rule: str) -> str:
    if not rows:
        return "No case could be scored."
    row = rows[0]
    return (
        f"{row['n_cases']} cases in {row['n_groups']} groups, {row['n_slices']} slices, "
        f"{row['n_anomalous']} of them anomalous. Truth: {rule}."
    )


def _in_short(rows: list[Row]) -> list[str]:
    """Return each preset as it runs by default, between the best of the simple rows and the decoder's ceiling."""
    ours = [row for row in rows if row["method"] == "MIAS-SAM" and _is_default(row)]
    simple = {simple_row(of_map, largest).method for of_map in SIMPLE_MAPS for largest in (False, True)}
    best = max((row for row in rows if row["method"] in simple), key=lambda row: row["dice_slice"] or 0, default=None)
    ceiling = [row for row in rows if row["method"] == CEILING.method]
    shown = [*([] if best is None else [best]), *ours, *ceiling]
    body = [[name_of(row), *(percent(row[key]) for key in SHORT)] for row in shown]
    words = "The first row is the best of the brightness rows, of either sign, chosen on these very cases."
    return [_table(["in short", *(COLUMNS[key] for key in SHORT)], body), "", words, ""]


def _is_default(row: Row) -> bool:
    config = preset(preset_name_of(row["preset"]))
    return bool((row["prompt"], row["mask"]) == (config.prompt, config.mask))


def _measured(rows: list[Row]) -> str:
    body = [
        [name_of(row), *(f"{value}<br>({words})" if words else value for value, words in _cells(row))] for row in rows
    ]
    return _table(["method", *COLUMNS.values()], body)


def _by_volume(rows: list[Row]) -> list[str]:
    """Return a table of the Dice of each volume, where there are few."""
    names = list(rows[0]["dice_by_volume"]) if rows else []
    if not 1 < len(names) <= MANY_VOLUMES:
        return []
    body = [[name_of(row), *(percent(row["dice_by_volume"].get(name)) for name in names)] for row in rows]
    return ["Dice of each volume, every slice counted:", "", _table(["", *names], body), ""]


def _cells(row: Row) -> list[tuple[str, str]]:
    """Return every figure of a row and its interval, "" where there is none."""
    cells = []
    for key in COLUMNS:
        found = None if row[key] is None else row["intervals_95"].get(key)
        cells.append((percent(row[key]), f"{percent(found[0])} to {percent(found[1])}" if found else ""))
    return cells


def _paper_tables(by_data_set: dict[str, list[Row]]) -> list[str]:
    """Return the paper's Tables 1 to 3 with rows of this run below the published ones."""
    ours = [row for rows in by_data_set.values() for row in rows if row["method"] == "MIAS-SAM"]
    presets = list(dict.fromkeys(row["preset"] for row in ours))
    columns = list(dict.fromkeys([*DATA_SETS, *by_data_set]))
    parts = ["## The paper's tables", ""]
    parts += ["Rows marked *published* are printed in the paper; all others were measured in this run.", ""]
    parts += [f"* {caveat}" for caveat in CAVEATS]

    def add(title: str, corner: str, published: list[list[str]], measured: dict[str, dict[str, str]]) -> None:
        figures = ("p_auroc", "dice_slice") if corner == "method" else ("dice_slice",)
        body = [[*line, *["-"] * (len(columns) - len(DATA_SETS))] for line in published]
        for words, wanted in measured.items():
            body.append([words, *(_cell(by_data_set.get(data, []), wanted, figures) for data in columns)])
        parts.extend(["", title, "", _table([corner, *columns], body)])

    paper = {"prompt": "cog", "mask": "3"}
    add(
        "### Table 1: P-AUROC / Dice per anomalous slice (CoG, mask 3)",
        "method",
        [[f"{name} (*published*)", *(f"{a:.2f} / {b:.2f}" for a, b in pairs)] for name, pairs in TABLE_1.items()],
        {f"MIAS-SAM, {name}": {"preset": name, **paper} for name in presets},
    )
    for title, key, table, more in (
        ("### Table 2: Dice per anomalous slice by mask (CoG)", "mask", TABLE_2, ["auto"]),
        ("### Table 3: Dice per anomalous slice by prompt (mask 3)", "prompt", TABLE_3, []),
    ):
        add(
            title,
            key,
            [[f"{key} {name} (*published*)", *(f"{one:.2f}" for one in values)] for name, values in table.items()],
            {f"{name}, {key} {v}": {"preset": name, **paper, key: v} for name in presets for v in [*table, *more]},
        )
    return [*parts, ""]


def _cell(rows: list[Row], wanted: dict[str, str], figures: Sequence[str]) -> str:
    """Return figures of this program's row with the wanted preset, prompt and mask; a dash where there is none."""
    wanted = {"method": "MIAS-SAM", **wanted}
    row = next((row for row in rows if all(row[key] == value for key, value in wanted.items())), None)
    return "-" if row is None else " / ".join(percent(row[figure]) for figure in figures)


def _table(header: list[str], body: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
