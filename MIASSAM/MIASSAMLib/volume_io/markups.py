"""Read points from a Slicer markups file (.mrk.json), as the user placed and saved them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..files import reason
from .raw import flip_lps_ras_point
from .writing import MarkupPoint

_KINDS = ("Fiducial",)
_MAX_BYTES = 1 << 26


def read_markups(path: Path | str) -> list[list[MarkupPoint]]:
    """Return the point lists of a markups file, in RAS mm whatever its own system; points not placed are left out.

    Raises:
        InputError: no markups file, another kind of markup than points, other units than mm, or no point in it.
    """
    path = Path(path)
    lists = [_points(markup, path.name) for markup in _markups(path)]
    if not any(lists):
        raise InputError(f"{path.name}: the file holds no placed point; place points in Slicer and save them")
    return lists


def _markups(path: Path) -> list[dict[str, Any]]:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError("too large")
        markups = json.loads(path.read_text(encoding="utf-8"))["markups"]
        if not all(isinstance(each["controlPoints"], list) for each in markups):
            raise TypeError("control points")
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}; give a markups file saved by Slicer") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path.name}: no markups file (JSON with markups and controlPoints); save points in Slicer as .mrk.json"
        ) from error
    return list(markups)


def _points(markup: dict[str, Any], name: str) -> list[MarkupPoint]:
    kind, system, units = (
        markup.get(key, default)
        for key, default in (("type", "Fiducial"), ("coordinateSystem", "LPS"), ("coordinateUnits", "mm"))
    )
    if kind not in _KINDS:
        raise InputError(f"{name}: a markup of type {kind} came; expected points (Fiducial); place a point list")
    if system not in ("LPS", "RAS") or (units[0] if isinstance(units, list) and units else units) != "mm":
        raise InputError(
            f"{name}: positions in {system} and {units} came; expected LPS or RAS in mm; save it in Slicer"
        )
    placed = [one for one in markup["controlPoints"] if one.get("positionStatus", "defined") == "defined"]
    return [_point(one, system, name) for one in placed]


def _point(data: dict[str, Any], system: str, name: str) -> MarkupPoint:
    label = str(data.get("label", ""))
    try:
        position = np.array(data["position"], np.float64)
        is_sound = position.shape == (3,) and bool(np.isfinite(position).all())
    except (KeyError, TypeError, ValueError):
        is_sound = False
    if not is_sound:
        raise InputError(f"{name}: point '{label[:40]}' has no position of three numbers; place it again in Slicer")
    x, y, z = flip_lps_ras_point(position) if system == "LPS" else position
    return MarkupPoint(label, (float(x), float(y), float(z)), str(data.get("description", "")))
