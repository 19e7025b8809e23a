"""Pockets of fluid in the retina: darker than their layer, and shut in by brighter tissue.

Fluid sends no light back, so it is as dark as the vitreous above the retina; but so is, nearly, the outer nuclear
layer. Two things tell them apart. A layer goes on: the same distance above the pigment epithelium is as dark in the
other columns of the scan. A pocket ends: in all but one of eight directions brighter tissue lies near. Each is
measured beside what is usual in the scan at that distance, so that no bank is needed for the map; the bank's normal
scans say how high it may go. Brightness is the log of the signal, 0 at the vitreous and 1 at the bright layers, and
columns in the shadow of a vessel are lifted by what their epithelium lacks. Just above the epithelium the bright
bands of the receptors shut everything in from below, so that what lies there counts less.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage, special

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import DEFAULT, RefinedConfig
from ..volume.retina import RetinaSlice, find_retina, not_scanned

WORKING_ROWS = 248
"""A B-scan is averaged down to about this many rows: one row is then about 8 micrometers."""
_DIRECTIONS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))
_BIN_ROWS, _N_BINS, _LEAST_IN_BIN = 2, 60, 12
_VITREOUS_ROWS, _LEAST_VITREOUS = (5, 40), 125
_BAND_ROWS = (5, 15)
_ROW_UM, _LOW_EDGE_ROWS = 8.0, 1.5


def pocket_map(pixels: AnyArray, config: RefinedConfig = DEFAULT, retina: RetinaSlice | None = None) -> FloatArray:
    """Return how much each pixel of a B-scan looks like a pocket of fluid, float32 (H, W), 0 outside the retina.

    pixels: (H, W), vitreous above, any unit. retina: where it is, found here when not given.
    The unit is the difference between the vitreous and the bright layers; three contrasts are added.
    On fluid-free scans it stays below about 0.6 nearly everywhere.
    """
    retina = find_retina(pixels, config) if retina is None else retina
    ratio = max(1, round(len(pixels) / WORKING_ROWS))
    small = _average(pixels, ratio)
    inside = _average(retina.mask, ratio) > 0.5
    if not inside.any():
        return np.zeros(pixels.shape, np.float32)
    height = np.asarray(_average(retina.height, ratio) / ratio, np.float32)
    light = standard_light(small, inside, height, config)

    darkest, brightest = config.fluid_light

    def tissue(sigma: float) -> FloatArray:
        return np.where(inside, np.clip(smooth_inside(light, inside, sigma), darkest, brightest), 0)

    dark_sigma, last_sigma = config.fluid_smooth
    values = -_beside_layer(tissue(dark_sigma), inside, height)
    for sigma, reach in zip(config.fluid_walls[::2], config.fluid_walls[1::2], strict=True):
        values += _beside_layer(enclosure(tissue(sigma), reach), inside, height)
    values = smooth_inside(values, inside, last_sigma)
    above = special.expit((height - config.fluid_low_um / _ROW_UM) / _LOW_EDGE_ROWS)
    values *= (config.fluid_low_weight + (1 - config.fluid_low_weight) * above).astype(np.float32)
    return np.where(retina.mask, _enlarge(values, ratio, pixels.shape), 0).astype(np.float32)


def enclosure(values: FloatArray, reach: float) -> FloatArray:
    """Return how much higher the second lowest of eight walls around each pixel is, float32 (H, W).

    A wall is the highest value within `reach` px in one direction; beyond the picture it is 0.
    """
    walls = [_highest_along(values, dy, dx, max(1, round(reach / np.hypot(dy, dx)))) for dy, dx in _DIRECTIONS]
    return np.asarray(np.partition(np.stack(walls), 1, axis=0)[1] - values, np.float32)


def standard_light(
    pixels: FloatArray, inside: BoolArray, height: FloatArray, config: RefinedConfig = DEFAULT
) -> FloatArray:
    """Return the log signal (H, W), 0 at the vitreous and 1 at the retina's upper quartile, shadows lifted.

    inside: bool (H, W), the retina. height: px above the pigment epithelium (H, W).
    """
    lowest, top = float(pixels.min()), float(np.percentile(pixels[inside], 99))
    log = np.log(np.clip((pixels - lowest) / max(top - lowest, 1e-6), 0, None) + config.fluid_noise)
    above = _vitreous(inside, pixels, config)
    vitreous = float(np.median(log[above])) if above.sum() > _LEAST_VITREOUS else float(np.percentile(log[inside], 1))
    bright = float(np.percentile(log[inside], config.fluid_bright))
    return np.asarray(
        (log - _shade(log, height, config.fluid_shade) - vitreous) / max(bright - vitreous, 1e-3), np.float32
    )


def smooth_inside(values: AnyArray, inside: BoolArray, sigma: float) -> FloatArray:
    """Return the Gaussian mean over the inside only, float32 (H, W), 0 outside."""
    share = ndimage.gaussian_filter(inside.astype(np.float32), sigma, truncate=3)
    mean = ndimage.gaussian_filter(np.where(inside, values, 0).astype(np.float32), sigma, truncate=3)
    return np.where(inside, mean / np.maximum(share, 1e-3), 0).astype(np.float32)


def _vitreous(inside: BoolArray, pixels: FloatArray, config: RefinedConfig) -> BoolArray:
    """Return what was scanned up to 40 rows above the retina, but for the 5 nearest to it."""
    top = np.where(inside.any(0), inside.argmax(0), 0)
    above = top - np.arange(len(inside))[:, None]
    return (above > _VITREOUS_ROWS[0]) & (above < _VITREOUS_ROWS[1]) & ~not_scanned(pixels, config.retina_margin_px)


def _shade(log: FloatArray, height: FloatArray, shade: Sequence[float]) -> FloatArray:
    """Return how much darker each column (W,) is than its neighborhood around the pigment epithelium, <= 0."""
    band = (height > -_BAND_ROWS[1]) & (height < _BAND_ROWS[0])
    level = np.where(band, log, 0).sum(0) / np.maximum(band.sum(0), 1)
    level = ndimage.gaussian_filter1d(level, 1.0)
    usual = ndimage.percentile_filter(level, shade[1], size=round(shade[0]))
    return np.asarray(np.minimum(level - usual, 0), np.float32)


def _beside_layer(values: FloatArray, inside: BoolArray, height: FloatArray) -> FloatArray:
    """Return values less the median of all columns at the same height above the epithelium (H, W)."""
    bins = np.clip((height / _BIN_ROWS).astype(int), 0, _N_BINS - 1)
    usual = np.empty(_N_BINS)
    for number in range(_N_BINS):
        layer = values[inside & (bins == number)]
        usual[number] = np.median(layer) if len(layer) >= _LEAST_IN_BIN else usual[max(0, number - 1)]
    middles = (np.arange(_N_BINS) + 0.5) * _BIN_ROWS
    return np.asarray(values - np.interp(height, middles, usual), np.float32)


def _highest_along(values: FloatArray, dy: int, dx: int, steps: int) -> FloatArray:
    """Return the highest of a pixel and its `steps` followers along (dy, dx), by doubling."""
    highest, covered = values, 1
    while covered <= steps:
        stride = min(covered, steps + 1 - covered)
        highest = np.maximum(highest, _shifted(highest, dy * stride, dx * stride))
        covered += stride
    return highest


def _shifted(values: FloatArray, dy: int, dx: int) -> FloatArray:
    """Return what lies (dy, dx) further, 0 beyond the picture."""
    shifted = np.zeros_like(values)
    (to_y, from_y), (to_x, from_x) = (_overlap(step, size) for step, size in zip((dy, dx), values.shape, strict=True))
    shifted[to_y, to_x] = values[from_y, from_x]
    return shifted


def _overlap(step: int, size: int) -> tuple[slice, slice]:
    if abs(step) >= size:
        return slice(0, 0), slice(0, 0)
    return slice(max(0, -step), size - max(0, step)), slice(max(0, step), size - max(0, -step))


def _average(values: AnyArray, ratio: int) -> FloatArray:
    """Return means of ratio x ratio px, float32; the last rows and columns are repeated to fill up."""
    rows, columns = values.shape
    full = np.pad(values.astype(np.float32), ((0, -rows % ratio), (0, -columns % ratio)), mode="edge")
    cells = full.reshape(full.shape[0] // ratio, ratio, full.shape[1] // ratio, ratio)
    return np.asarray(cells.mean((1, 3)), np.float32)


def _enlarge(values: FloatArray, ratio: int, shape: tuple[int, ...]) -> FloatArray:
    """Return values at the full size, bilinearly."""
    y, x = ((np.arange(size) + 0.5) / ratio - 0.5 for size in shape)
    grid = np.meshgrid(y, x, indexing="ij")
    return np.asarray(ndimage.map_coordinates(values, grid, order=1, mode="nearest"), np.float32)
