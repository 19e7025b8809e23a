"""The table of a run: one row per case, done or failed."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..files import write_text

FIRST_COLUMNS = (
    "case",
    "source",
    "status",
    "reason",
    "n_slices",
    "n_segmented_slices",
    "n_lesions",
    "volume_ml",
    "top_slice",
    "seconds",
)
LAST_COLUMNS = ("notes", "summary", "picture")


def write_cases_csv(path: Path | str, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write rows as CSV (UTF-8, comma, header); further keys of the rows become further columns."""
    columns = table_columns(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
    return Path(path)


def table_columns(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the columns of a run: the known ones first, in order, then the run's own, then words."""
    present = list(dict.fromkeys(key for row in rows for key in row))
    own = [key for key in present if key not in FIRST_COLUMNS and key not in LAST_COLUMNS]
    last = [key for key in LAST_COLUMNS if key in present]
    return [*FIRST_COLUMNS, *own, *last]


def _cell(value: Any) -> Any:
    return "" if value is None else value
