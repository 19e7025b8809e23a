"""The figure sheet: best, median and worst slices, so that failures are seen (paper, Figure 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import Config
from ..outputs.tile import heat_rgb
from ..volume.slice_image import native_to_map
from .case_view import CaseView
from .counting import dice
from .observe import Asked, Observation
from .pooling import Records

if TYPE_CHECKING:
    from PIL import Image

TITLES = ("input and CoG", "truth", "anomaly map", "mask 1", "mask 3", "chosen mask")
"""Columns of the sheet, as in the paper's Figure 2."""

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def choose_row(config: Config, asked: Asked) -> tuple[str, str]:
    """Return the prompt and mask a preset chooses by itself, or the first that was asked."""
    prompt = config.prompt if config.prompt in asked.prompts else asked.prompts[0]
    mask = config.mask if config.mask in asked.masks else asked.masks[0]
    return prompt, mask


def make_panels(
    view: CaseView, seen: Observation, chosen: tuple[str, str]
) -> tuple[dict[str, AnyArray], dict[str, dict[str, Any]]]:
    """Return pictures uint8 (6, h, w) by slice index, and the Dice and CoG of each.

    The slices are those at the quartiles of the case's own Dice.
    """
    prompt, mask = chosen
    sick = np.flatnonzero(view.truth.any((1, 2)))
    if not len(sick):
        return {}, {}
    picked = seen.masks.get(prompt, mask)
    axes = (1, 2)
    scores = dice(*(np.count_nonzero(one[sick], axis=axes) for one in (picked & view.truth, picked, view.truth)))
    order = np.argsort(scores, kind="stable")
    wanted = sorted({int(order[round(q * (len(order) - 1))]) for q in _QUANTILES})
    masks = (seen.masks.get(prompt, "1"), seen.masks.get(prompt, "3"), picked)
    top = float(seen.heat[view.organ].max()) if view.organ.any() else 1.0
    pictures, facts = {}, {}
    for n in wanted:
        position = int(sick[n])
        index = str(int(view.slices[position]))
        pictures[index] = _pictures(view, seen.heat, top, position, masks)
        facts[index] = {"dice": float(scores[n]), "cog": _cog(view, seen.points_xy[prompt][position])}
    return pictures, facts


def _pictures(view: CaseView, heat: FloatArray, top: float, position: int, masks: tuple[BoolArray, ...]) -> AnyArray:
    low = float(heat[position].min())
    scaled = (heat[position] - low) / max(top - low, 1e-9)
    grey = view.prepared.pixels(int(view.slices[position]))
    planes = [grey, view.truth[position], scaled, *(mask[position] for mask in masks)]
    framed = np.stack([native_to_map(np.asarray(plane, np.float32), view.prepared.frame) for plane in planes])
    rows, columns = view.prepared.frame.content_slices(256)
    return np.asarray(np.round(np.clip(framed[:, rows, columns], 0, 1) * 255), np.uint8)


def _cog(view: CaseView, native_xy: AnyArray) -> list[float] | None:
    """Return the point in px of the picture, None where there is none."""
    if not np.isfinite(native_xy).all():
        return None
    rows, columns = view.prepared.frame.content_slices(256)
    frame_xy = view.prepared.frame.to_frame_xy(native_xy) / 4.0
    return [float(frame_xy[0]) - columns.start, float(frame_xy[1]) - rows.start]


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


def choose_shown(records: Records) -> list[Shown]:
    """Return the best, median and worst slices among those kept, by the Dice of the chosen mask.

    A volume keeps five slices at the quartiles of its own Dice, so best and worst are the true ones and
    the median is the nearest kept. No case is shown twice for one kind where there are enough cases.
    """
    found = [
        (float(fact["dice"]), record.name, index)
        for record in records()
        for index, fact in record.facts.get("panels", {}).items()
    ]
    kinds = _pick(sorted(found))
    shown: dict[tuple[str, str], Shown] = {}
    for record in records():
        for index, pictures in record.panels.items():
            key = (record.name, index)
            if key in kinds:
                fact = record.facts["panels"][index]
                shown[key] = Shown(kinds[key], *key, fact["dice"], fact["cog"], pictures)
    return [shown[key] for key in kinds]


def _pick(found: list[tuple[float, str, str]]) -> dict[tuple[str, str], str]:
    """Return case and slice -> kind, from Dice, case and slice in ascending order."""
    middle = float(np.median([score for score, _, _ in found])) if found else 0.0
    orders = {
        "best": found[::-1],
        "median": sorted(found, key=lambda one: abs(one[0] - middle)),
        "worst": found,
    }
    count = min(ROWS_PER_KIND, max(1, len(found) // 3))
    picked: dict[tuple[str, str], str] = {}
    for kind, order in orders.items():
        fresh = [one for one in order if one[1:] not in picked]
        picked |= {one[1:]: kind for one in _spread(fresh)[:count]}
    return picked


def _spread(order: list[tuple[float, str, str]]) -> list[tuple[float, str, str]]:
    """Put the first slice of each case before any second one."""
    firsts = list({case: (score, case, index) for score, case, index in reversed(order)}.values())
    return sorted(order, key=lambda one: one not in firsts)


def write_sheet(path: Path, shown: list[Shown]) -> dict[str, Any]:
    """Write the sheet as PNG: one row per slice, columns as in the paper's Figure 2.

    Returns its file name and what is on it as JSON-able data; nothing is written for no slice.
    """
    from PIL import Image, ImageDraw

    if not shown:
        return {}
    size = (_LEFT + len(TITLES) * (_TILE + _GAP), _HEADER + len(shown) * (_TILE + _GAP))
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
    rows = [{"kind": one.kind, "case": one.case, "slice": one.slice_index, "dice": one.dice} for one in shown]
    return {"file": path.name, "rows": rows}


def _tile(one: Shown, column: int) -> Image.Image:
    from PIL import Image, ImageDraw

    planes = one.pictures
    height, width = planes.shape[1:]
    scale = _TILE / max(height, width)
    colors = heat_rgb(planes[2] / 255) if column == 2 else _overlay(planes[0], planes[column] > 127, column)
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
