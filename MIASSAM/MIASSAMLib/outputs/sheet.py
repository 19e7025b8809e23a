"""The contact sheet of a case: its most telling slices, bare and with heat, outline and center of gravity."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..files import atomic_path
from .record import RESEARCH_USE, area_words, found_words
from .tile import HeatScale, draw_tile, font, heat_rgb, round_length, tile_size

if TYPE_CHECKING:
    from ..method import CaseResult, SliceResult

_FEW_TILES, _MOST_TILES = 12, 24
_BOX, _BIG_BOX = (250, 250), (420, 420)
_GAP, _MARGIN, _HEADER, _CAPTION, _PROFILE, _BAR = 6, 18, 96, 40, 130, 110
_PAPER, _INK, _FAINT, _ACCENT = (18, 20, 24), (236, 238, 242), (164, 170, 180), (255, 150, 80)
_BARE = (92, 98, 110)
_COLUMNS_OF_COUNT = {1: 1, 2: 2, 3: 3, 4: 2}


def draw_case_sheet(path: Path | str, result: CaseResult, record: Mapping[str, Any]) -> Path:
    """Draw the contact sheet of a case and write it as PNG.

    Raises:
        UsageError: the file cannot be written.
    """
    with atomic_path(path, ".png") as temporary:
        case_sheet(result, record).save(temporary, optimize=True)
    return Path(path)


def case_sheet(result: CaseResult, record: Mapping[str, Any]) -> Any:
    """Return the contact sheet as a PIL picture: true proportions, one heat scale for all slices.

    record: the case's, from `case_record`.
    """
    from PIL import Image, ImageDraw

    items = telling_slices(result)
    size = tile_size(result, _BIG_BOX if len(items) == 1 else _BOX)
    cell = (2 * size[0] + 3 * _GAP, size[1] + _CAPTION)
    columns = min(len(items), _COLUMNS_OF_COUNT.get(len(items), 3))
    while columns < 4 and columns * cell[0] < 3 * cell[1] and columns < len(items):
        columns += 1
    rows = -(-len(items) // max(columns, 1))
    profile = _PROFILE if len(result.slices) > 1 and result.heat_unit else 0
    width = max(2 * _MARGIN + columns * cell[0] + _BAR, 860)
    height = _HEADER + rows * cell[1] + profile + 2 * _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw, scale = ImageDraw.Draw(sheet), HeatScale.of(result)
    _draw_header(draw, result, record, len(items))
    for number, item in enumerate(items):
        corner = (_MARGIN + number % columns * cell[0], _HEADER + number // columns * cell[1])
        _draw_cell(sheet, result, item, (corner, size), scale)
    if result.heat_unit:
        _draw_color_bar(sheet, scale, (width - _BAR, _HEADER + 8, min(rows * cell[1] - _CAPTION - 16, 320)))
    if profile:
        _draw_profile(draw, result, (_MARGIN + 34, height - profile, width - _MARGIN, height - 44))
    return sheet


def telling_slices(result: CaseResult) -> list[SliceResult]:
    """Return the slices worth looking at: the best one of each anomaly first, most striking first.

    Others follow in storage order, up to 12 in all: segmented ones by score, or any when nothing was found. More
    anomalies than that get up to 24.
    """
    best: dict[int, tuple[float, int, SliceResult]] = {}
    for item in result.slices:
        for finding in item.findings:
            found = (finding.score, int(finding.mask.sum()), item)
            best[finding.lesion] = max(best.get(finding.lesion, found), found, key=lambda one: one[:2])
    ordered = sorted(best.values(), key=lambda one: -one[0])
    first = list({item.index: item for _, _, item in ordered}.values())[:_MOST_TILES]
    candidates = [item for item in result.slices if item.findings] or result.slices
    others = sorted((item for item in candidates if item not in first), key=lambda item: -item.image_score)
    return first + sorted(others[: max(_FEW_TILES - len(first), 0)], key=lambda item: item.index)


def _draw_header(draw: Any, result: CaseResult, record: Mapping[str, Any], n_shown: int) -> None:
    run, volume = result.run, result.prepared.volume
    more = f" ({n_shown} shown)" if result.slices and n_shown < len(result.slices) else ""
    used = [volume.modality.upper(), result.prepared.plane.orientation, f"preset {run.get('preset', '?')}"]
    used += [f"model {run.get('model', {}).get('name', '?')}"]
    used += [f"{name} {run.get(name, '?')}" for name in ("prompt", "mask")]
    draw.text((_MARGIN, 12), textwrap.shorten(volume.name, 70, placeholder="..."), fill=_INK, font=font(22))
    draw.text((_MARGIN, 42), found_words(record) + more, fill=_ACCENT, font=font(16))
    draw.text((_MARGIN, 68), f"{RESEARCH_USE}   {', '.join(filter(None, used))}", fill=_FAINT, font=font(13))


def _draw_cell(
    sheet: Any, result: CaseResult, item: SliceResult, place: tuple[tuple[int, int], tuple[int, int]], scale: HeatScale
) -> None:
    from PIL import ImageDraw

    (left, top), size = place
    sheet.paste(draw_tile(result, item, size, None), (left, top))
    sheet.paste(draw_tile(result, item, size, scale), (left + size[0] + _GAP, top))
    draw = ImageDraw.Draw(sheet)
    draw.text((left, top + size[1] + 3), _score_words(item, result), fill=_INK, font=font(13))
    is_known = result.prepared.volume.has_spacing
    draw.text((left, top + size[1] + 20), _finding_words(item, is_known), fill=_FAINT, font=font(12))


def _score_words(item: SliceResult, result: CaseResult) -> str:
    """Return a slice, its anomalies and its score: how rare it is among normal slices, or its largest distance."""
    numbers = ", ".join(str(number) for number in sorted({finding.lesion for finding in item.findings}))
    lesions = f"   anomaly {numbers}" if numbers and result.n_lesions > 1 else ""
    if not result.heat_unit:
        return f"slice {item.index}{lesions}"
    if item.tail_probability is None:
        return f"slice {item.index}{lesions}   largest distance {item.image_score:.3g}"
    return f"slice {item.index}{lesions}   p = {item.tail_probability:.2g} among normal slices"


def _finding_words(item: SliceResult, has_spacing: bool) -> str:
    parts = []
    for finding in item.findings:
        size = area_words(finding.area_mm2) if has_spacing else f"{int(finding.mask.sum())} px"
        parts.append(f"mask {finding.mask_index}, IoU {finding.predicted_iou:.2f}, {size}")
    return textwrap.shorten("; ".join(parts) or item.note or "nothing segmented", 78, placeholder="...")


def _draw_color_bar(sheet: Any, scale: HeatScale, place: tuple[int, int, int]) -> None:
    from PIL import Image, ImageDraw

    left, top, height = place
    ramp = heat_rgb(np.linspace(1, 0, height))[:, None].repeat(18, axis=1)
    sheet.paste(Image.fromarray(ramp), (left, top))
    draw = ImageDraw.Draw(sheet)
    for value in round_ticks(scale.low, scale.high, 5):
        y = top + (1 - float(scale.share(np.array(value)))) * (height - 1)
        draw.line([(left + 18, y), (left + 23, y)], fill=_FAINT)
        draw.text((left + 28, y), f"{value:g}", fill=_INK, font=font(14), anchor="lm")
    for number, line in enumerate(textwrap.wrap(scale.unit, 14)):
        draw.text((left, top + height + 8 + 15 * number), line, fill=_FAINT, font=font(12))


def _draw_profile(draw: Any, result: CaseResult, box: tuple[int, int, int, int]) -> None:
    """Draw the score of every slice as a bar; segmented slices stand out."""
    left, top, right, bottom = box
    scores = np.array([item.image_score for item in result.slices], float)
    low, high = min(0.0, float(scores.min())), max(float(scores.max()), 1e-9)
    step = (right - left) / len(scores)
    for value in round_ticks(low, high, 3):
        y = bottom - (value - low) / (high - low) * (bottom - top)
        draw.line([(left - 5, y), (right, y)], fill=(44, 48, 56))
        draw.text((left - 8, y), f"{value:g}", fill=_INK, font=font(13), anchor="rm")
    for number, item in enumerate(result.slices):
        y = bottom - (item.image_score - low) / (high - low) * (bottom - top)
        edge = left + number * step
        draw.rectangle([edge, y, edge + max(step - 1, 1) - 0.5, bottom], fill=_ACCENT if item.findings else _BARE)
    first, last = result.slices[0].index, result.slices[-1].index
    for index in round_ticks(first, last, 8, whole=True):
        x = left + (index - first + 0.5) * step
        draw.text((x, bottom + 4), f"{index:g}", fill=_INK, font=font(13), anchor="ma")
    is_calibrated = result.slices[0].tail_probability is not None
    score = "-log10 of p among normal slices" if is_calibrated else "largest distance"
    words = f"slice: {score}; orange: segmented"
    draw.text(((left + right) / 2, bottom + 20), words, fill=_FAINT, font=font(13), anchor="ma")


def round_ticks(low: float, high: float, most: int, whole: bool = False) -> list[float]:
    """Return up to `most` round values in a range, evenly spaced by 1, 2 or 5 times a power of ten."""
    steps = (round_length((high - low) / most * factor) for factor in (1, 2, 2.5, 5, 10))
    for step in (max(step, 1.0) if whole else step for step in steps):
        count = np.floor(high / step + 1e-9) - np.ceil(low / step - 1e-9) + 1
        if count <= most:
            break
    first = int(np.ceil(low / step - 1e-9))
    return [round((first + number) * step, 10) for number in range(int(count))]
