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
_HEADINGS = {
    "case": "Case",
    "n_slices": "Slices",
    "n_segmented_slices": "Slices outlined",
    "n_lesions": "Anomalies",
    "volume_ml": "Volume",
    "top_slice": "Most unusual slice",
    "seconds": "Time (s)",
    "dice": "Dice",
    "cog_in_lesion": "CoG in lesion",
    "lesion": "Anomaly",
    "longest_diameter_mm": "Longest diameter (mm)",
    "perpendicular_diameter_mm": "Perpendicular (mm)",
    "diameter_slice": "on slice",
    "n_parts": "Parts",
    "mean_score": "Mean of map",
    "peak_score": "Peak of map",
}
_HIDDEN = ("source", "reason", "device", *LAST_CASE_COLUMNS)
_LESION_COLUMNS = (
    "lesion", "volume_ml", "longest_diameter_mm", "perpendicular_diameter_mm", "diameter_slice", "n_parts", "side",
    "first_slice", "last_slice", "peak_score", "mean_score",
)  # fmt: skip
_FILES = (
    (".seg.nrrd", "segmentation"),
    ("_anomaly.nii.gz", "heat map"),
    ("_cog.mrk.json", "centers of gravity"),
    (".json", "record"),
    (".png", "contact sheet"),
)
_CITATION = "MIAS-SAM: Medical Image Anomaly Segmentation without thresholding. BMVC 2025, arXiv:2505.22762."


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
    names = [row["case"] for row in rows]
    page = render_page(
        "report.html",
        title="MIASSAM report",
        summary=_summary(rows),
        notice=RESEARCH_USE,
        rows=rows,
        columns=_shown(rows),
        lesions=by_case,
        lesion_columns=[key for key in _LESION_COLUMNS if any(one.get(key) for one in lesions)],
        pictures={row["case"]: _picture(path.parent / row["picture"]) for row in rows if row.get("picture")},
        links={name: _links(path.parent, name) for name in names},
        run=json.dumps(run, indent=1, ensure_ascii=False, default=str) if run else "",
        version=__version__,
        citation=_CITATION,
    )
    write_text(path, page)
    return path


@cache
def _templates() -> Any:
    from jinja2 import Environment, FileSystemLoader

    loader = FileSystemLoader(Path(__file__).with_name("templates"))
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"anchor": _anchor, "heading": _heading, "number": _number, "quoted": quote}
    environment.filters["volume"] = _volume
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
    return ["case", "status", *sorted(own, key=lambda key: key not in _HEADINGS), *known]


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


def _links(folder: Path, name: str) -> list[tuple[str, str]]:
    return [(quote(name + end), words) for end, words in _FILES if (folder / (name + end)).is_file()]


def _heading(key: str) -> str:
    return _HEADINGS.get(key, key[0].upper() + key[1:].replace("_", " "))


def _is_numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(text: str) -> str:
    return text if text.lstrip("-").isdigit() else f"{float(text):.4g}"


def _volume(row: Mapping[str, str]) -> str:
    if row["volume_ml"]:
        return size_words(float(row["volume_ml"]))
    return "unknown" if row.get("n_lesions", "1") not in ("", "0") else ""


def _anchor(name: str) -> str:
    return "case-" + quote(name, safe="")
