"""One HTML page: every row, every figure sheet, every failed case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..outputs import render_page
from .tables import COLUMNS, HOW, Row, name_of, percent


def render_report(
    by_data_set: dict[str, list[Row]],
    header: Sequence[str],
    sheets: dict[str, dict[str, Any]],
    failed: list[dict[str, str]],
) -> str:
    """Return the page; figure sheets are linked by file name, beside it."""
    parts = [
        {
            "name": name,
            "titles": ("method", *COLUMNS.values()),
            "rows": [_line(row) for row in rows],
            "sheet": sheets.get(name, {}).get("file", ""),
        }
        for name, rows in by_data_set.items()
    ]
    return render_page("evaluation.html", title="Evaluation", header=header, parts=parts, failed=failed, how=HOW)


def _line(row: Row) -> dict[str, Any]:
    cells = [(percent(row[key]), _interval(row, key)) for key in COLUMNS]
    return {"name": name_of(row), "is_oracle": row["is_oracle"], "cells": cells}


def _interval(row: Row, key: str) -> str:
    found = row["intervals_95"].get(key)
    return "" if found is None or row[key] is None else f"{percent(found[0])} to {percent(found[1])}"
