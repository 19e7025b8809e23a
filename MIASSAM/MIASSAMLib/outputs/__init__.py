"""All files of a case and of a run, from a case result."""

from .record import case_record, case_row, point_label
from .write import write_case, write_run

__all__ = ["case_record", "case_row", "point_label", "write_case", "write_run"]
