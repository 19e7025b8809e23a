"""The figure sheet: best, median and worst slices, so that failures are seen (paper, Figure 2)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import AnyArray
from .panels import TITLES
from .record import CaseRecord

if TYPE_CHECKING:
    from PIL import Image

ROWS_PER_KIND = 3
_TILE, _GAP, _HEADER, _LEFT = 160, 6, 22, 170
_INK, _PAPER, _RED, _GREEN = (20, 20, 20), (250, 250, 250), (230, 40, 40), (40, 200, 80)


@dataclass(frozen=True)
class Shown:
    """One row of the sheet."""

    kind: str
    case: str
    slice_index: str
    dice: float
    cog_xy: list[float] | None
    pictures: AnyArray


def choose_shown(records: Iterable[CaseRecord]) -> list[Shown]:
    """Return the best, median and worst slices among those kept, by the Dice of the chosen mask.

    A volume keeps five slices at the quartiles of its own Dice, so best and worst are the true ones and
    the median is the nearest kept. No case is shown twice for one kind where there are enough cases.
    """
    found = [
        (float(fact["dice"]), record.name, index)
        for record in records
        for index, fact in record.facts.get("panels", {}).items()
    ]
    return [Shown(kind, case, index, score, None, np.empty(0)) for kind, score, case, index in _pick(sorted(found))]


def _pick(found: list[tuple[float, str, str]]) -> list[tuple[str, float, str, str]]:
    if not found:
        return []
    middle = float(np.median([score for score, _, _ in found]))
    orders = {
        "best": found[::-1],
        "median": sorted(found, key=lambda one: abs(one[0] - middle)),
        "worst": found,
    }
    count = min(ROWS_PER_KIND, max(1, len(found) // 3))
    taken: set[tuple[str, str]] = set()
    picked = []
    for kind, order in orders.items():
        fresh = [one for one in order if one[1:] not in taken]
        for score, case, index in _spread(fresh)[:count]:
            taken.add((case, index))
            picked.append((kind, score, case, index))
    return picked


def _spread(order: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Put the first slice of each case before any second one."""
    firsts, seen = [], set()
    for one in order:
        if one[1] not in seen:
            seen.add(one[1])
            firsts.append(one)
    return firsts + [one for one in order if one not in firsts]


def fill_pictures(shown: list[Shown], records: Iterable[CaseRecord]) -> list[Shown]:
    """Read the pictures of the chosen rows from the records."""
    wanted = {(one.case, one.slice_index): one for one in shown}
    filled: dict[tuple[str, str], Shown] = {}
    for record in records:
        for index, pictures in record.panels.items():
            one = wanted.get((record.name, index))
            if one is not None:
                cog = record.facts["panels"][index]["cog"]
                filled[(record.name, index)] = Shown(one.kind, one.case, index, one.dice, cog, pictures)
    return [filled[key] for key in wanted if key in filled]


def write_sheet(path: Path, shown: list[Shown]) -> Path:
    """Write the sheet as PNG: one row per slice, columns as in the paper's Figure 2."""
    from PIL import Image, ImageDraw

    size = (_LEFT + len(TITLES) * (_TILE + _GAP), _HEADER + max(1, len(shown)) * (_TILE + _GAP))
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(TITLES):
        draw.text((_LEFT + column * (_TILE + _GAP) + 4, 5), title, fill=_INK)
    for row, one in enumerate(shown):
        top = _HEADER + row * (_TILE + _GAP)
        for line, text in enumerate((f"{one.kind}: Dice {one.dice:.3f}", one.case[-26:], f"slice {one.slice_index}")):
            draw.text((6, top + 8 + 14 * line), text, fill=_INK)
        for column in range(len(TITLES)):
            sheet.paste(_tile(one, column), (_LEFT + column * (_TILE + _GAP), top))
    sheet.save(path)
    return path


def _tile(one: Shown, column: int) -> Image.Image:
    from PIL import Image, ImageDraw

    planes = one.pictures
    height, width = planes.shape[1:]
    scale = _TILE / max(height, width)
    colors = _heat_colors(planes[2]) if column == 2 else _overlay(planes[0], planes[column] > 127, column)
    small = Image.fromarray(colors).resize((max(1, round(width * scale)), max(1, round(height * scale))))
    if column == 0 and one.cog_xy is not None:
        x, y = ((value + 0.5) * scale for value in one.cog_xy)
        ImageDraw.Draw(small).ellipse((x - 3, y - 3, x + 3, y + 3), outline=_RED, width=2)
    tile = Image.new("RGB", (_TILE, _TILE), (0, 0, 0))
    tile.paste(small, ((_TILE - small.width) // 2, (_TILE - small.height) // 2))
    return tile


def _overlay(grey: AnyArray, mask: AnyArray, column: int) -> AnyArray:
    colors = np.repeat(grey[..., None], 3, -1).astype(float)
    if column > 0:
        color = np.array(_GREEN if column == 1 else _RED, float)
        colors[mask] = 0.5 * colors[mask] + 0.5 * color
    return colors.astype(np.uint8)


def _heat_colors(values: AnyArray) -> AnyArray:
    """Color a map from black over red and yellow to white."""
    level = values.astype(float)[..., None] * 3 / 255 - np.arange(3.0)
    return (np.clip(level, 0, 1) * 255).astype(np.uint8)


def facts_of(shown: list[Shown]) -> list[dict[str, Any]]:
    """Return what is on the sheet as JSON-able data."""
    return [{"kind": one.kind, "case": one.case, "slice": one.slice_index, "dice": one.dice} for one in shown]
