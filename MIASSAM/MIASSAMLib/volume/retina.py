"""The retina in OCT: between the inner limiting membrane and the pigment epithelium, found column by column.

Both are the best paths from the left of a B-scan to the right (dynamic programming, as in Chiu et al., Optics Express
2010): the epithelium is the bright band above which all is brighter than below; the inner membrane is the step from
the dark vitreous into tissue above it, which a thin detached membrane in the vitreous is not. A B-scan shows about
2 mm of depth whatever its pixel count, so lengths are shares of its rows: 1/496 of them is about 4 micrometers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import DEFAULT, Config
from .plane import SlicePlane
from .volume import Volume

REFERENCE_ROWS = 496
"""Lengths below are rows of a B-scan of this many."""
_REFERENCE_COLUMNS = 768
_COLUMN_STEP = 2
_IMPOSSIBLE = -2.0
_MEDIAN_COLUMNS = 5


@dataclass(frozen=True)
class RetinaSlice:
    """The retina on one B-scan of (H, W) px, vitreous above.

    Attributes:
        inner: row of the inner limiting membrane in each column, float (W,).
        outer: row of the lower edge of the pigment epithelium in each column, float (W,).
        mask: bool (H, W), tissue between them; columns without an epithelium (the optic disc) and what is no
            scan at all (white wedges, black borders) are left out.
    """

    inner: DoubleArray
    outer: DoubleArray
    mask: BoolArray

    @property
    def depth(self) -> FloatArray:
        """Return the flattened depth of every pixel, float32 (H, W): 0 at the inner membrane, 1 at the epithelium."""
        rows = np.arange(len(self.mask))[:, None]
        thick = np.maximum(self.outer - self.inner, 1.0)
        return np.asarray(np.clip((rows - self.inner) / thick, 0, 1), np.float32)

    @property
    def height(self) -> FloatArray:
        """Return how far above the pigment epithelium each pixel lies, px, float32 (H, W)."""
        return np.asarray(self.outer - np.arange(len(self.mask))[:, None], np.float32)


def find_retinas(volume: Volume, config: Config = DEFAULT) -> list[RetinaSlice]:
    """Find the retina on every B-scan, cut along the volume's own slice axis."""
    plane = SlicePlane.of(volume)
    return [find_retina(plane.take(volume.voxels_kji, index), config) for index in range(plane.n_slices)]


def retina_mask(volume: Volume, retinas: Sequence[RetinaSlice]) -> BoolArray:
    """Return bool (K, J, I): what `find_retinas` found."""
    plane, mask = SlicePlane.of(volume), np.zeros(volume.shape_kji, bool)
    for index, retina in enumerate(retinas):
        plane.put(mask, index, retina.mask)
    return mask


def find_retina(pixels: AnyArray, config: Config = DEFAULT) -> RetinaSlice:
    """Find the retina on a B-scan (H, W), vitreous above, any unit; a constant one has none."""
    outside = not_scanned(pixels, config.retina_margin_px)
    rows, columns = pixels.shape
    inside = pixels[~outside]
    floor, top = np.percentile(inside, config.retina_light) if inside.size else (0.0, 0.0)
    if top <= floor:
        nowhere = np.zeros(columns)
        return RetinaSlice(nowhere, nowhere, np.zeros(pixels.shape, bool))
    unit = rows / REFERENCE_ROWS
    clear = np.sqrt(np.clip((np.where(outside, floor, pixels) - floor) / (top - floor), 0, 1))
    blur_rows, blur_columns = config.retina_blur
    blur = (blur_rows * unit, blur_columns * columns / _REFERENCE_COLUMNS)
    clear = ndimage.gaussian_filter(clear, blur)[:, ::_COLUMN_STEP]
    seen = np.arange(0, columns, _COLUMN_STEP)
    strength = _epithelium_strength(clear, unit)
    outer_bend, inner_bend = (max(1, round(bend * unit)) for bend in config.retina_bend)
    outer = best_path(strength, outer_bend)
    inner = best_path(_inner_strength(clear, outer, unit, config.retina_thick), inner_bend)
    over_columns, least_quality = config.retina_quality
    quality = ndimage.gaussian_filter1d(strength[outer, np.arange(len(seen))], over_columns / _COLUMN_STEP)
    is_retina = np.interp(np.arange(columns), seen, quality) > least_quality * np.median(quality)
    inner, outer = (
        np.interp(np.arange(columns), seen, ndimage.median_filter(path, _MEDIAN_COLUMNS)) for path in (inner, outer)
    )
    places = np.arange(rows)[:, None]
    return RetinaSlice(inner, outer, (places >= inner) & (places <= outer) & ~outside & is_retina)


def not_scanned(pixels: AnyArray, margin_px: int = DEFAULT.retina_margin_px) -> BoolArray:
    """Return bool (H, W): parts of one constant value that touch the picture's border, with a small margin.

    Exported scans hold white wedges where they were turned and black where nothing was recorded.
    """
    constant = ndimage.maximum_filter(pixels, margin_px) == ndimage.minimum_filter(pixels, margin_px)
    labels, count = ndimage.label(constant)
    if not count:
        return np.zeros(pixels.shape, bool)
    at_border = np.zeros(count + 1, bool)
    at_border[np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])] = True
    at_border[0] = False
    return np.asarray(ndimage.binary_dilation(at_border[labels], iterations=margin_px))


def best_path(strength: AnyArray, reach: int) -> AnyArray:
    """Return the row of the strongest path through each column, int (C,), of a strength (R, C).

    reach: rows by which the path may rise or fall from one column to the next.
    """
    rows, columns = strength.shape
    total = strength[:, 0].astype(np.float64)
    steps = np.zeros((columns, rows), np.int16)
    beyond = np.full(reach, -np.inf)
    for column in range(1, columns):
        padded = np.concatenate([beyond, total, beyond])
        choices = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
        best = choices.argmax(1)
        steps[column] = best - reach
        total = choices[np.arange(rows), best] + strength[:, column]
    path = np.empty(columns, int)
    path[-1] = total.argmax()
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + steps[column, path[column]]
    return path


def _epithelium_strength(clear: DoubleArray, unit: float) -> DoubleArray:
    """A bright band of 12 rows between darker ones, with much more light above than below."""
    band = _mean(clear, -6, 6, unit) - 0.5 * _mean(clear, -36, -10, unit) - 0.5 * _mean(clear, 12, 36, unit)
    return np.asarray(band + 0.5 * (_mean(clear, -90, 0, unit) - _mean(clear, 20, 110, unit)))


def _inner_strength(clear: DoubleArray, outer: AnyArray, unit: float, thick: Sequence[float]) -> DoubleArray:
    """A step from dark to bright that holds over 36 rows below and 60 above, at a plausible distance from `outer`."""
    step = _mean(clear, 0, 14, unit) - _mean(clear, -14, 0, unit)
    step = step + 0.5 * (_mean(clear, 0, 36, unit) - _mean(clear, -60, -3, unit))
    above = outer - np.arange(len(clear))[:, None]
    return np.where((above < thick[0] * unit) | (above > thick[1] * unit), _IMPOSSIBLE, step)


def _mean(values: DoubleArray, first: int, stop: int, unit: float) -> DoubleArray:
    """Return the mean of rows r + first to r + stop (reference rows, below is positive) for each row r."""
    rows = len(values)
    sums = np.cumsum(np.pad(values, ((1, 0), (0, 0))), axis=0)
    low, high = (np.clip(np.arange(rows) + round(edge * unit), 0, rows) for edge in (first, stop))
    return np.asarray((sums[high] - sums[low]) / np.maximum(high - low, 1)[:, None])
