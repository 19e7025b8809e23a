"""The report of a run: one HTML file with everything in it, pictures included."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..files import write_text
from .sheet import NOTICE
from .table import LAST_COLUMNS, table_columns

_THUMBNAIL_PX = 1100
_HEADINGS = {
    "case": "Case",
    "status": "Status",
    "n_slices": "Slices",
    "n_segmented_slices": "Segmented",
    "n_lesions": "Anomalies",
    "volume_ml": "Volume (ml)",
    "top_slice": "Most unusual slice",
    "seconds": "Time (s)",
    "dice": "Dice",
    "cog_in_lesion": "CoG in lesion",
}
_HIDDEN = ("source", "reason", *LAST_COLUMNS)
_FILES = (
    (".seg.nrrd", "segmentation"),
    ("_anomaly.nii.gz", "heat map"),
    ("_cog.mrk.json", "centers of gravity"),
    (".json", "record"),
    (".png", "contact sheet"),
)
_CITATION = "MIAS-SAM: Medical Image Anomaly Segmentation without thresholding. BMVC 2025, arXiv:2505.22762."
_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #667; --line: #d5d9e0; --paper: #fff;
  --bad: #b3261e; --good: #1b7f4b }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaee; --faint: #9aa2ad; --line: #353b44; --paper: #15181c; --bad: #ff8a80; --good: #6fd39b } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 1180px;
  margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .4rem }
.notice { border-left: 4px solid var(--bad); padding: .3rem .8rem; margin: 1rem 0 }
.faint { color: var(--faint) } .failed { color: var(--bad) } .done { color: var(--good) }
.scroll { overflow-x: auto } table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .35rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap }
td.number { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100%; border-radius: 6px; display: block } pre { overflow-x: auto; font-size: 13px }
"""


def write_html_report(
    path: Path | str, rows: Sequence[Mapping[str, Any]], run: Mapping[str, Any] | None = None
) -> Path:
    """Write the report of a run beside its files; it opens anywhere, offline, as one file.

    rows: as for `write_cases_csv`; `picture` names a contact sheet in the report's folder.
    run: what was used (preset, config, model, bank, device), shown at the end.

    Raises:
        UsageError: the file cannot be written.
    """
    path = Path(path)
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>MIASSAM report</title><style>{_STYLE}</style></head><body>",
        "<h1>MIASSAM report</h1>",
        f"<p class='faint'>{escape(_summary(rows))}</p>",
        f"<p class='notice'><b>{NOTICE}</b> An outline marks what differs from the normal volumes of the memory "
        "bank; it is no diagnosis, and an unmarked slice is no proof of health.</p>",
        _table(rows),
        *(_case(row, path.parent) for row in rows),
        _details(run or {}),
        f"<p class='faint'>MIASSAM {escape(__version__)}. Method: {escape(_CITATION)}</p></body></html>\n",
    ]
    write_text(path, "\n".join(parts))
    return path


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    failed = sum(row.get("status") == "failed" for row in rows)
    marked = sum(bool(row.get("n_lesions")) for row in rows)
    cases = "1 case" if len(rows) == 1 else f"{len(rows)} cases"
    return f"{cases}: {marked} with an anomaly, {len(rows) - failed - marked} without, {failed} failed"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        key
        for key in table_columns(rows)
        if key not in _HIDDEN and any(row.get(key) not in (None, "") for row in rows)
    ]
    head = "".join(f"<th>{escape(_HEADINGS.get(key, key.replace('_', ' ')))}</th>" for key in shown)
    body = "\n".join(f"<tr>{''.join(_cell(key, row) for key in shown)}</tr>" for row in rows)
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"


def _cell(key: str, row: Mapping[str, Any]) -> str:
    value = row.get(key)
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    if key == "case":
        return f"<td><a href='#{_anchor(row)}'>{escape(text)}</a></td>"
    if key == "status":
        return f"<td class='{escape(text)}'>{escape(text)}</td>"
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return f"<td class='number'>{escape(text)}</td>" if is_number else f"<td>{escape(text)}</td>"


def _case(row: Mapping[str, Any], folder: Path) -> str:
    name = str(row.get("case", ""))
    parts = [f"<section id='{_anchor(row)}'><h2>{escape(name)}</h2>"]
    if row.get("status") == "failed":
        parts.append(f"<p class='failed'>{escape(str(row.get('reason', '')))}</p>")
    elif row.get("summary"):
        parts.append(f"<p>{escape(str(row['summary']))}</p>")
    if row.get("notes"):
        parts.append(f"<p class='faint'>{escape(str(row['notes']))}</p>")
    if row.get("picture"):
        parts.append(_picture(folder / str(row["picture"]), name))
    links = [
        f"<a href='{quote(name + end)}'>{words}</a>" for end, words in _FILES if (folder / (name + end)).is_file()
    ]
    parts.append(
        f"<p class='faint'>{escape(str(row.get('source', '')))}{': ' if links else ''}{', '.join(links)}</p></section>"
    )
    return "\n".join(parts)


def _picture(path: Path, name: str) -> str:
    """Return an image element with a smaller copy of the picture inside."""
    from PIL import Image

    if not path.is_file():
        return ""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, 4 * _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=86)
    encoded = base64.b64encode(data.getvalue()).decode()
    words = f"{name}: slices with heat, outline and center of gravity"
    return f"<img alt='{escape(words)}' src='data:image/jpeg;base64,{encoded}'>"


def _details(run: Mapping[str, Any]) -> str:
    if not run:
        return ""
    text = json.dumps(run, indent=1, ensure_ascii=False, default=str)
    words = "<h2>What was used</h2><details><summary>Configuration, model and bank</summary>"
    return f"{words}<pre>{escape(text)}</pre></details>"


def _anchor(row: Mapping[str, Any]) -> str:
    return "case-" + quote(str(row.get("case", "")), safe="")
