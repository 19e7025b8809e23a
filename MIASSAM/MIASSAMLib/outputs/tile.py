"""One slice as a picture: grey, heat, outlines and crosses, in true proportions.

The heat colors are made by a formula and ordered by lightness, so that print and color-blind eyes keep the order.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, ByteArray, FloatArray

_START, _TURNS, _HUE = 0.04, 0.46, 1.9
_DARKEST, _LIGHTEST = 0.10, 0.92
_OPAQUE = 0.72
_STEPS = 256

LESION_COLORS: tuple[tuple[int, int, int], ...] = (
    (60, 235, 255),
    (120, 255, 120),
    (255, 130, 255),
    (130, 160, 255),
    (255, 255, 255),
)

if TYPE_CHECKING:
    from ..method import CaseResult, SliceResult
"""Outlines: hues the heat table does not use."""
EDGE_LETTERS = {
    "axial": ("R", "L", "A", "P"),
    "coronal": ("R", "L", "S", "I"),
    "sagittal": ("A", "P", "S", "I"),
}
"""Left, right, top and bottom edge of a slice in display order."""

_ASPECTS = (0.5, 2.0)
_CROSS_PX, _CROSS_GAP_PX = 9, 3
_BAR_SHARE = 0.3
_LETTER_INK, _WHITE, _BLACK = (255, 210, 90), (255, 255, 255), (0, 0, 0)


@cache
def heat_table() -> ByteArray:
    """Return RGB uint8 (256, 3) from dark violet over red to pale yellow.

    Cubehelix (D. A. Green, 2011, Bull. Astr. Soc. India 39, 289): the perceived lightness rises evenly.
    """
    lightness = np.linspace(_DARKEST, _LIGHTEST, _STEPS)
    angle = 2 * np.pi * (_START + _TURNS * lightness)
    swing = _HUE * lightness * (1 - lightness) / 2
    around = np.stack([np.cos(angle), np.sin(angle)])
    weights = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]])
    rgb = lightness + swing * (weights @ around)
    return np.asarray(np.round(255 * np.clip(rgb.T, 0, 1)), np.uint8)


def heat_rgb(share: AnyArray) -> ByteArray:
    """Return RGB uint8 (..., 3) of shares in [0, 1]."""
    index = np.clip(np.asarray(share) * (_STEPS - 1), 0, _STEPS - 1).round().astype(int)
    return np.asarray(heat_table()[index])


def overlay(grey: FloatArray, share: FloatArray) -> ByteArray:
    """Lay heat over a grey picture (H, W) in [0, 1]: nothing where the share is 0, strong where it is 1."""
    opacity = (_OPAQUE * np.clip(share, 0, 1) ** 0.8)[..., None]
    base = np.repeat(255.0 * np.clip(grey, 0, 1)[..., None], 3, axis=2)
    return np.asarray((1 - opacity) * base + opacity * heat_rgb(share)).round().astype(np.uint8)


@dataclass(frozen=True)
class HeatScale:
    """Which map values are drawn, and in what unit.

    Attributes:
        low, high: values drawn transparent and strongest.
        unit: in words.
    """

    low: float
    high: float
    unit: str

    @classmethod
    def of(cls, result: CaseResult) -> HeatScale:
        """Choose the scale of a case: one for all its slices, so that they can be compared."""
        view = result.prepared.plane.view(result.heat_kji)[[item.index for item in result.slices]]
        low, high = (float(value) for value in np.percentile(view, [50, 99.9])) if view.size else (0.0, 1.0)
        if result.heat_unit.startswith("standard deviations"):
            low, high = 1.0, max(high, 6.0)
        return cls(low, high if high > low else low + 1.0, result.heat_unit)

    def share(self, values: AnyArray) -> FloatArray:
        """Return values as shares of the scale, float32 in [0, 1]."""
        return np.clip((values - self.low) / (self.high - self.low), 0, 1).astype(np.float32)


def tile_size(result: CaseResult, box: tuple[int, int]) -> tuple[int, int]:
    """Return the largest (width, height) within a box that keeps a slice's proportions in mm."""
    rows, columns = result.prepared.plane.shape_yx
    row_mm, column_mm, _ = result.prepared.plane.spacing_yxs_mm
    aspect = float(np.clip(rows * row_mm / (columns * column_mm), *_ASPECTS))
    width, height = box
    if width * aspect <= height:
        return width, max(1, round(width * aspect))
    return max(1, round(height / aspect)), height


def draw_tile(result: CaseResult, item: SliceResult, size: tuple[int, int], scale: HeatScale | None) -> Any:
    """Return a PIL picture of one slice; with a scale heat, outlines and crosses are drawn, else the bare slice."""
    from PIL import Image, ImageDraw

    grey = _resized(result.prepared.pixels(item.index), size)
    if scale is None:
        picture = Image.fromarray((255 * np.clip(grey, 0, 1)).round().astype(np.uint8)).convert("RGB")
        if result.prepared.volume.has_spacing:
            _draw_letters(ImageDraw.Draw(picture), result, size)
            _draw_bar(ImageDraw.Draw(picture), result, size)
        return picture
    heat = _resized(result.prepared.plane.take(result.heat_kji, item.index), size)
    picture = Image.fromarray(overlay(grey, scale.share(heat)))
    _draw_outlines(picture, result, item, size)
    draw = ImageDraw.Draw(picture)
    for finding in item.findings:
        _draw_cross(draw, result, finding.cog_xy, size)
    return picture


def _resized(pixels: AnyArray, size: tuple[int, int]) -> FloatArray:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(pixels, np.float32))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR), np.float32)


def _draw_outlines(picture: Any, result: CaseResult, item: SliceResult, size: tuple[int, int]) -> None:
    """Draw a two-pixel line just outside each lesion, so that the lesion itself stays visible."""
    from PIL import Image

    labels = result.prepared.plane.take(result.labels_kji, item.index)
    shown = np.asarray(picture).copy()
    for label in np.unique(labels[labels > 0]):
        mask = Image.fromarray((labels == label).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        inside = np.asarray(mask) > 0
        line = ndimage.binary_dilation(inside, iterations=2) & ~inside
        shown[line] = LESION_COLORS[(int(label) - 1) % len(LESION_COLORS)]
    picture.paste(Image.fromarray(shown))


def _draw_cross(draw: Any, result: CaseResult, native_xy: tuple[float, float], size: tuple[int, int]) -> None:
    rows, columns = result.prepared.plane.shape_yx
    x = (native_xy[0] + 0.5) * size[0] / columns
    y = (native_xy[1] + 0.5) * size[1] / rows
    for ink, width in ((_BLACK, 4), (_WHITE, 2)):
        for step_x, step_y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            arm = [(x + reach * step_x, y + reach * step_y) for reach in (_CROSS_GAP_PX, _CROSS_PX)]
            draw.line(arm, fill=ink, width=width)


def _draw_letters(draw: Any, result: CaseResult, size: tuple[int, int]) -> None:
    width, height = size
    left, right, top, bottom = EDGE_LETTERS[result.prepared.plane.orientation]
    spots = [(3.0, height / 2, left, "lm"), (width - 3.0, height / 2, right, "rm")]
    spots += [(width / 2, 2.0, top, "mt"), (width / 2, height - 2.0, bottom, "mb")]
    for x, y, letter, anchor in spots:
        draw.text((x, y), letter, fill=_LETTER_INK, font=font(13), anchor=anchor, stroke_width=1, stroke_fill=_BLACK)


def _draw_bar(draw: Any, result: CaseResult, size: tuple[int, int]) -> None:
    """Draw a scale bar of a round length in mm."""
    width_mm = result.prepared.plane.shape_yx[1] * result.prepared.plane.spacing_yxs_mm[1]
    length_mm = round_length(width_mm * _BAR_SHARE)
    right, bottom = size[0] - 6, size[1] - 6
    left = right - length_mm / width_mm * size[0]
    draw.line([(left, bottom), (right, bottom)], fill=_WHITE, width=2)
    words = f"{length_mm:g} mm"
    draw.text((right, bottom - 4), words, fill=_WHITE, font=font(11), anchor="rb", stroke_width=1, stroke_fill=_BLACK)


def round_length(longest: float) -> float:
    """Return the largest 1, 2 or 5 times a power of ten that is not above `longest`."""
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)))


def font(size: int) -> Any:
    """Return the drawing library's own font at a size in px."""
    from PIL import ImageFont

    return ImageFont.load_default(size)
