"""The contact sheet of a case: its most telling slices, bare and with heat, outline and center of gravity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..files import atomic_path
from ..method import CaseResult, SliceResult
from .colors import heat_rgb
from .tile import HeatScale, draw_tile, font, tile_size

NOTICE = "Research use only; not a medical device."

_MAX_TILES = 12
_BOX = (250, 250)
_BIG_BOX = (420, 420)
_GAP, _MARGIN, _HEADER, _CAPTION, _PROFILE, _BAR = 6, 18, 76, 36, 120, 96
_PAPER, _INK, _FAINT, _ACCENT = (18, 20, 24), (236, 238, 242), (150, 156, 166), (255, 150, 80)
_COLUMNS_OF_COUNT = {1: 1, 2: 2, 3: 3, 4: 2}


def draw_case_sheet(path: Path | str, result: CaseResult) -> Path:
    """Draw the contact sheet of a case and write it as PNG.

    Up to 12 slices: the segmented ones with the highest scores, or the highest-scoring ones when
    nothing was found; in storage order, in true proportions, one heat scale for all.

    Raises:
        UsageError: the file cannot be written.
    """
    with atomic_path(path, ".png") as temporary:
        case_sheet(result).save(temporary, optimize=True)
    return Path(path)


def case_sheet(result: CaseResult) -> Any:
    """Return the contact sheet as a PIL picture."""
    from PIL import Image, ImageDraw

    items = telling_slices(result)
    box = _BIG_BOX if len(items) == 1 else _BOX
    size = tile_size(result, box)
    cell = (2 * size[0] + 3 * _GAP, size[1] + _CAPTION)
    columns = min(len(items), _COLUMNS_OF_COUNT.get(len(items), 3))
    while columns < 4 and columns * cell[0] < 3 * cell[1] and columns < len(items):
        columns += 1
    rows = -(-len(items) // max(columns, 1))
    width = max(2 * _MARGIN + columns * cell[0] + _BAR, 860)
    height = _HEADER + rows * cell[1] + _PROFILE + 2 * _MARGIN
    sheet = Image.new("RGB", (width, height), _PAPER)
    scale = HeatScale.of(result)
    _draw_header(ImageDraw.Draw(sheet), result, width)
    for number, item in enumerate(items):
        corner = (_MARGIN + number % columns * cell[0], _HEADER + number // columns * cell[1])
        _draw_cell(sheet, result, item, (corner, size), scale)
    _draw_color_bar(sheet, scale, (width - _BAR, _HEADER, min(rows * cell[1] - _CAPTION, 320)))
    _draw_profile(ImageDraw.Draw(sheet), result, (_MARGIN, height - _PROFILE - 4, width - _MARGIN, height - 34))
    return sheet


def telling_slices(result: CaseResult) -> list[SliceResult]:
    """Return up to 12 slices worth looking at, in storage order."""
    found = [item for item in result.slices if item.findings]
    ranked = sorted(found or result.slices, key=lambda item: -item.image_score)
    return sorted(ranked[:_MAX_TILES], key=lambda item: item.index)


def _draw_header(draw: Any, result: CaseResult, width: int) -> None:
    volume, plane = result.prepared.volume, result.prepared.plane
    segmented = sum(bool(item.findings) for item in result.slices)
    if result.is_normal:
        found = f"no anomaly found in {len(result.slices)} slices"
    else:
        lesions = "1 anomaly" if result.n_lesions == 1 else f"{result.n_lesions} anomalies"
        size = size_words(float((result.labels_kji > 0).sum()) * volume.voxel_ml)
        found = f"{lesions} on {segmented} of {len(result.slices)} slices, {size}"
    draw.text((_MARGIN, 12), _short(volume.name, 70), fill=_INK, font=font(22))
    draw.text((_MARGIN, 42), found, fill=_ACCENT, font=font(16))
    model = result.run.get("model", {})
    used = [volume.modality.upper(), plane.orientation, f"preset {result.run.get('preset', '?')}"]
    used += [
        f"model {model.get('name', '?')}",
        f"prompt {result.run.get('prompt', '?')}",
        f"mask {result.run.get('mask', '?')}",
    ]
    draw.text((width - _MARGIN, 14), ", ".join(word for word in used if word), fill=_FAINT, font=font(13), anchor="ra")
    draw.text((width - _MARGIN, 46), NOTICE, fill=_FAINT, font=font(13), anchor="ra")


def _draw_cell(
    sheet: Any, result: CaseResult, item: SliceResult, place: tuple[tuple[int, int], tuple[int, int]], scale: HeatScale
) -> None:
    from PIL import ImageDraw

    (left, top), size = place
    sheet.paste(draw_tile(result, item, size, None), (left, top))
    sheet.paste(draw_tile(result, item, size, scale), (left + size[0] + _GAP, top))
    draw = ImageDraw.Draw(sheet)
    words = f"slice {item.index}   {_score_words(item)}"
    draw.text((left, top + size[1] + 3), words, fill=_INK, font=font(13))
    draw.text((left, top + size[1] + 18), _finding_words(item), fill=_FAINT, font=font(11))


def _score_words(item: SliceResult) -> str:
    """Return a slice's score in words: how rare it is among normal slices, or its largest distance."""
    if item.tail_probability is None:
        return f"largest distance {item.image_score:.3g}"
    return f"p = {item.tail_probability:.2g} among normal slices"


def _finding_words(item: SliceResult) -> str:
    if not item.findings:
        return _short(item.note or "nothing segmented", 60)
    parts = [f"mask {f.mask_index}, IoU {f.predicted_iou:.2f}, {area_words(f.area_mm2)}" for f in item.findings]
    return _short("; ".join(parts), 78)


def _draw_color_bar(sheet: Any, scale: HeatScale, place: tuple[int, int, int]) -> None:
    from PIL import Image, ImageDraw

    left, top, height = place
    ramp = heat_rgb(np.linspace(1, 0, height))[:, None].repeat(16, axis=1)
    sheet.paste(Image.fromarray(ramp), (left, top))
    draw = ImageDraw.Draw(sheet)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        y = top + (1 - share) * (height - 1)
        draw.line([(left + 16, y), (left + 20, y)], fill=_FAINT)
        value = scale.low + share * (scale.high - scale.low)
        draw.text((left + 24, y), f"{value:.3g}", fill=_INK, font=font(12), anchor="lm")
    for number, line in enumerate(_wrapped(scale.unit, 14)):
        draw.text((left, top + height + 6 + 13 * number), line, fill=_FAINT, font=font(11))


def _draw_profile(draw: Any, result: CaseResult, box: tuple[int, int, int, int]) -> None:
    """Draw the score of every slice as a bar; segmented slices stand out."""
    left, top, right, bottom = box
    scores = np.array([item.image_score for item in result.slices], float)
    if not len(scores):
        return
    low, high = min(0.0, float(scores.min())), max(float(scores.max()), 1e-9)
    step = (right - left) / len(scores)
    for number, item in enumerate(result.slices):
        y = bottom - (item.image_score - low) / (high - low) * (bottom - top)
        edge = left + number * step
        ink = _ACCENT if item.findings else (92, 98, 110)
        draw.rectangle([edge, y, edge + max(step - 1, 1) - 0.5, bottom], fill=ink)
    first, last = result.slices[0].index, result.slices[-1].index
    draw.text((left, bottom + 4), f"slice {first}", fill=_FAINT, font=font(12))
    draw.text((right, bottom + 4), f"slice {last}", fill=_FAINT, font=font(12), anchor="ra")
    is_calibrated = result.slices[0].tail_probability is not None
    score = "-log10 of p among normal slices" if is_calibrated else "largest distance"
    words = f"{score} of each slice, highest {scores.max():.3g} (orange: segmented)"
    draw.text(((left + right) / 2, bottom + 4), words, fill=_FAINT, font=font(12), anchor="ma")


def area_words(mm2: float) -> str:
    """Return an area in words, without an exponent."""
    return f"{mm2:.0f} mm2" if mm2 >= 100 else f"{mm2:.3g} mm2"


def size_words(ml: float) -> str:
    """Return a volume in words: ml, or mm3 where ml would be all zeros."""
    return f"{ml:.3g} ml" if ml >= 0.01 else f"{1000 * ml:.3g} mm3"


def _wrapped(text: str, width: int) -> list[str]:
    import textwrap

    return textwrap.wrap(text, width)


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
