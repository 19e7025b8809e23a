"""All files of a case and of a run, from a case result: for programs and for people."""

from .html_report import CASE_FILES, render_page
from .record import case_record, case_row, failed_record, lesion_rows, run_digest, slice_rows, without_paths
from .sheet import draw_case_sheet
from .write import RunWriter, write_case, write_record

__all__ = [
    "CASE_FILES",
    "RunWriter",
    "case_record",
    "case_row",
    "draw_case_sheet",
    "failed_record",
    "lesion_rows",
    "render_page",
    "run_digest",
    "slice_rows",
    "without_paths",
    "write_case",
    "write_record",
]
