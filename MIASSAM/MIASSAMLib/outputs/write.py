"""Write the files of a case, and the tables and the report of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..files import check_output_dir, write_text
from ..volume_io import MarkupPoint, write_dicom_seg, write_heat_map, write_markups, write_segmentation
from .html_report import write_html_report
from .record import case_record, case_row, lesion_names, lesion_rows, point_label, slice_rows, without_paths
from .sheet import draw_case_sheet
from .tables import run_tables

if TYPE_CHECKING:
    from ..method import CaseResult


def write_case(
    output: Path | str,
    result: CaseResult,
    source_sha256: str = "",
    show_paths: bool = True,
    dicom_seg: bool = False,
) -> dict[str, Any]:
    """Write X.seg.nrrd, X_anomaly.nii.gz (where there is a map), X_cog.mrk.json, X.png and, last, X.json.

    Returns the case's record.

    output: a folder, made if need be.

    show_paths: False names the input without its folder.
    dicom_seg: write X.seg.dcm as well; the volume must come from a DICOM series.

    Raises:
        UsageError: a file cannot be written.
    """
    volume = result.prepared.volume
    base = check_output_dir(output) / volume.name
    if result.heat_unit:
        write_heat_map(f"{base}_anomaly.nii.gz", result.heat_kji, volume)
    record = case_record(result, source_sha256)
    record = record if show_paths else without_paths(record)
    write_outlines(base, result, record, dicom_seg)
    return record


def write_outlines(base: Path, result: CaseResult, record: Mapping[str, Any], dicom_seg: bool) -> None:
    """Write all files of a case but its heat map.

    base: folder and name, to which the ends are added.

    Raises:
        UsageError: a file cannot be written.
    """
    write_segmentation(f"{base}.seg.nrrd", result.labels_kji, result.prepared.volume, lesion_names(result.n_lesions))
    if dicom_seg:
        is_by_hand = any(one.prompt == "user" for item in result.slices for one in item.findings)
        names = lesion_names(result.n_lesions)
        write_dicom_seg(f"{base}.seg.dcm", result.labels_kji, result.prepared.volume, names, is_by_hand)
    write_markups(f"{base}_cog.mrk.json", cog_points(result))
    draw_case_sheet(f"{base}.png", result, record)
    write_record(f"{base}.json", record)


def write_record(path: Path | str, record: Mapping[str, Any]) -> None:
    """Write a case's record as JSON.

    Raises:
        UsageError: the file cannot be written.
    """
    write_text(path, json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def cog_points(result: CaseResult) -> list[MarkupPoint]:
    """Return one point for each finding, at its center of gravity."""
    points = []
    for item in result.slices:
        for finding in item.findings:
            x, y, z = (float(value) for value in result.cog_ras(item, finding))
            part = f"slice={item.index} lesion={finding.lesion} inside"  # as the Slicer module says it
            words = f"{part}; mask {finding.mask_index}, predicted IoU {finding.predicted_iou:.2f}"
            points.append(MarkupPoint(point_label(item, finding), (x, y, z), words))
    return points


class RunWriter:
    """Writes `cases.csv`, `lesions.csv` and `slices.csv` case by case, and `report.html` when it is left.

    Tables of an earlier run in the folder are extended; a case that comes again replaces its rows. However the run
    ends, the report shows what is in the tables by then.

    Args:
        output: the folder.
        run: what was used (preset, config, model, bank, device), shown at the end of the report.
        own_columns: further columns of `cases.csv`.

    Raises:
        UsageError: a table of other columns is there, or a file cannot be written.
    """

    def __init__(self, output: Path, run: Mapping[str, Any] | None = None, own_columns: Sequence[str] = ()) -> None:
        self.output, self.run = Path(output), dict(run or {})
        self.tables = run_tables(self.output, own_columns)
        self._known = set(self.tables[0].open().union(*(table.open() for table in self.tables[1:])))

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish()

    def add(self, record: Mapping[str, Any], own: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Write the rows of a case, done or failed; return its row of `cases.csv`.

        record: from `case_record` or `failed_record`.
        own: values of the run's own columns; a `summary` replaces the record's.

        Raises:
            UsageError: a table cannot be written.
        """
        row = {**case_row(record), **(own or {})}
        for table, rows in zip(self.tables[::-1], (slice_rows(record), lesion_rows(record), [row])):
            table.put(row["case"], rows, replaces=row["case"] in self._known)
        self._known.add(row["case"])
        return row

    def finish(self) -> Path:
        """Write `report.html` from the tables, and return its path.

        Raises:
            UsageError: it cannot be written.
        """
        cases, lesions, _ = (table.read() for table in self.tables)
        return write_html_report(self.output / "report.html", cases, lesions, self.run)
