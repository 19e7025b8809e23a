"""Pages in HTML, from the templates beside this file; a run's report is one file, pictures included."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .. import __version__
from ..files import write_text
from .record import RESEARCH_USE, size_words
from .tables import CASE_COLUMNS, LAST_CASE_COLUMNS

_THUMBNAIL_PX = 1100
CASE_FILES = (".seg.nrrd", "_anomaly.nii.gz", "_cog.mrk.json", ".json", ".png")
"""What follows the case's name in the names of its files."""
MORE_FILES = (".seg.dcm",)
"""And what does so only on request."""
_HIDDEN = ("source", "reason", "device", *LAST_CASE_COLUMNS)


def render_page(template: str, **data: Any) -> str:
    """Return a page of the project: `report.html` or `evaluation.html`, every value escaped.

    data: what the template names; `title` always.
    """
    return str(_templates().get_template(template).render(data))


def write_html_report(
    path: Path,
    rows: Sequence[Mapping[str, str]],
    lesions: Sequence[Mapping[str, str]] = (),
    run: Mapping[str, Any] | None = None,
) -> Path:
    """Write the report of a run beside its files; it opens anywhere, offline, as one file.

    rows, lesions: rows of `cases.csv` and `lesions.csv` as texts.
    run: what was used (preset, config, model, bank, device), shown at the end.

    Raises:
        UsageError: the file cannot be written.
    """
    by_case: dict[str, list[Mapping[str, str]]] = {}
    for one in lesions:
        by_case.setdefault(one["case"], []).append(one)
    page = render_page(
        "report.html",
        title="MIASSAM report",
        summary=_summary(rows),
        notice=RESEARCH_USE,
        rows=rows,
        columns=_shown(rows),
        lesions=by_case,
        pictures={row["case"]: _picture(path.parent / row["picture"]) for row in rows if row.get("picture")},
        files={
            row["case"]: [end for end in (*CASE_FILES, *MORE_FILES) if _is_there(path, row["case"] + end)]
            for row in rows
        },
        run=json.dumps(run, indent=1, ensure_ascii=False, default=str) if run else "",
        version=__version__,
    )
    write_text(path, page)
    return path


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"quoted": quote, "size_words": size_words}
    environment.tests["numeric"] = _is_numeric
    return environment


def _summary(rows: Sequence[Mapping[str, str]]) -> str:
    failed = sum(row["status"] == "failed" for row in rows)
    marked = sum(row.get("n_lesions", "") not in ("", "0") for row in rows)
    cases = "1 case" if len(rows) == 1 else f"{len(rows)} cases"
    return f"{cases}: {marked} with an anomaly, {len(rows) - failed - marked} without, {failed} failed"


def _shown(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the columns worth showing: a run's own ones right after the status."""
    filled = [key for key in dict.fromkeys(key for row in rows for key in row) if any(row.get(key) for row in rows)]
    own = [key for key in filled if key not in (*CASE_COLUMNS, *_HIDDEN)]
    known = [key for key in CASE_COLUMNS if key in filled and key not in ("case", "status", *_HIDDEN)]
    return ["case", "status", *own, *known]


def _picture(path: Path) -> str:
    """Return a smaller copy of a picture as a data address, or "" when it is not there."""
    from PIL import Image

    if not path.is_file():
        return ""
    with Image.open(path) as picture:
        small = picture.convert("RGB")
    small.thumbnail((_THUMBNAIL_PX, 8 * _THUMBNAIL_PX), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=86)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _is_there(report: Path, name: str) -> bool:
    return (report.parent / name).is_file()


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
