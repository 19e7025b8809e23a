"""Pictures, report and table of a run, for people."""

from .html_report import write_html_report
from .sheet import NOTICE, case_sheet, draw_case_sheet
from .table import write_cases_csv

__all__ = ["NOTICE", "case_sheet", "draw_case_sheet", "write_cases_csv", "write_html_report"]
