"""One self-contained HTML page: every row, every figure sheet, every failed case."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from .tables import COLUMNS, HOW, Row, name_of, percent

_STYLE = """body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1250px;color:#222}
table{border-collapse:collapse;font-size:12px}td,th{border:1px solid #ccc;padding:3px 7px;text-align:right}
td:first-child,th:first-child{text-align:left}small{color:#666}tr.oracle td{background:#f6f0e0}
img{max-width:100%}pre{white-space:pre-wrap;background:#f5f5f5;padding:1em}"""


def render_report(
    by_data_set: dict[str, list[Row]],
    header: Sequence[str],
    sheets: dict[str, dict[str, Any]],
    failed: list[dict[str, str]],
) -> str:
    """Return the page; figure sheets are linked by file name, beside it."""
    body = ["<h1>Evaluation</h1>", *(f"<p>{escape(line)}</p>" for line in header if line)]
    for name, rows in by_data_set.items():
        body += [f"<h2>{escape(name)}</h2>", _table(rows)]
        if sheet := sheets.get(name):
            body.append(
                f'<h3>Best, median and worst slices</h3><img src="{escape(sheet["file"])}" alt="figure sheet">'
            )
    if failed:
        items = "".join(f"<li>{escape(one['case'])}: {escape(one['reason'])}</li>" for one in failed)
        body.append(f"<h2>Cases that could not be used</h2><ul>{items}</ul>")
    body.append(f"<h2>How to read the figures</h2><pre>{escape(HOW)}</pre><p>Research use only.</p>")
    head = f'<meta charset="utf-8"><title>Evaluation</title><style>{_STYLE}</style>'
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(body)}</body></html>\n"


def _table(rows: list[Row]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in ("method", *COLUMNS.values()))
    return f"<table><tr>{head}</tr>{''.join(_line(row) for row in rows)}</table>"


def _line(row: Row) -> str:
    cells = "".join(f"<td>{percent(row[key])}{_interval(row, key)}</td>" for key in COLUMNS)
    kind = ' class="oracle"' if row["is_oracle"] else ""
    return f"<tr{kind}><td>{escape(name_of(row))}</td>{cells}</tr>"


def _interval(row: Row, key: str) -> str:
    found = row["intervals_95"].get(key)
    if found is None or row[key] is None:
        return ""
    return f"<br><small>{percent(found[0])} to {percent(found[1])}</small>"
