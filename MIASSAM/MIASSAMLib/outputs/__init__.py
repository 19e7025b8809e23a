"""All files of a case and of a run, from a case result."""

from .record import case_record, case_row, point_label
from .write import CASE_FILES, write_case, write_run

__all__ = ["CASE_FILES", "case_record", "case_row", "point_label", "write_case", "write_run"]
