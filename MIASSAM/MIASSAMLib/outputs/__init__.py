"""All files of a case and of a run, from a case result: for programs and for people."""

from .html_report import write_html_report
from .record import case_record, case_row, point_label
from .sheet import NOTICE, case_sheet, draw_case_sheet
from .table import write_cases_csv
from .write import CASE_FILES, write_case, write_run

__all__ = [
    "CASE_FILES",
    "NOTICE",
    "case_record",
    "case_row",
    "case_sheet",
    "draw_case_sheet",
    "point_label",
    "write_case",
    "write_cases_csv",
    "write_html_report",
    "write_run",
]
