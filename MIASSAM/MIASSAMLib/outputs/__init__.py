"""All files of a case and of a run, from a case result: for programs and for people."""

from .corrected import base_of, read_record, reopen_case, replace_part, write_correction
from .html_report import CASE_FILES, MORE_FILES, render_page
from .record import (
    case_record,
    case_row,
    failed_record,
    lesion_rows,
    run_digest,
    run_without_paths,
    slice_rows,
    without_paths,
)
from .sheet import draw_case_sheet
from .tables import own_columns
from .write import RunWriter, write_case, write_record

__all__ = [
    "CASE_FILES",
    "MORE_FILES",
    "RunWriter",
    "base_of",
    "case_record",
    "case_row",
    "draw_case_sheet",
    "failed_record",
    "lesion_rows",
    "own_columns",
    "read_record",
    "render_page",
    "reopen_case",
    "replace_part",
    "run_digest",
    "run_without_paths",
    "slice_rows",
    "without_paths",
    "write_case",
    "write_correction",
    "write_record",
]
