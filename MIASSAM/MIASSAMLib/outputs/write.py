"""Write the files of a case: segmentation, heat map, CoG points, record and contact sheet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import write_text
from ..method import CaseResult
from ..volume_io import MarkupPoint, write_heat_map, write_markups, write_segmentation
from .html_report import write_html_report
from .record import case_record, case_row, lesion_names, point_label
from .sheet import draw_case_sheet
from .table import write_cases_csv

CASE_FILES = (".seg.nrrd", "_anomaly.nii.gz", "_cog.mrk.json", ".json", ".png")
"""What follows the case's name in the names of its files."""


def write_case(output: Path, result: CaseResult) -> dict[str, Any]:
    """Write X.seg.nrrd, X_anomaly.nii.gz, X_cog.mrk.json, X.json and X.png; return the case's row.

    Raises:
        UsageError: a file cannot be written.
    """
    volume = result.prepared.volume
    base = output / volume.name
    write_segmentation(f"{base}.seg.nrrd", result.labels_kji, volume, lesion_names(result))
    write_heat_map(f"{base}_anomaly.nii.gz", result.heat_kji, volume)
    write_markups(f"{base}_cog.mrk.json", cog_points(result))
    record = case_record(result)
    write_text(f"{base}.json", json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    draw_case_sheet(f"{base}.png", result)
    return {**case_row(result), "picture": f"{volume.name}.png"}


def write_run(output: Path, rows: Sequence[dict[str, Any]], run: Mapping[str, Any]) -> None:
    """Write `cases.csv` and `report.html` of a run."""
    write_cases_csv(output / "cases.csv", rows)
    write_html_report(output / "report.html", rows, run)


def cog_points(result: CaseResult) -> list[MarkupPoint]:
    """Return one point for each finding, at its center of gravity."""
    points = []
    for item in result.slices:
        for finding in item.findings:
            x, y, z = (float(value) for value in result.cog_ras(item, finding))
            words = f"mask {finding.mask_index}, predicted IoU {finding.predicted_iou:.2f}"
            points.append(MarkupPoint(point_label(item, finding), (x, y, z), words))
    return points
