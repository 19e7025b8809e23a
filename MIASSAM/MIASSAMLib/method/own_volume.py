"""A volume as its own reference, for users who have no bank of normals.

Each place is asked three things, on a grid of 4 px of the 256 map and slices some mm apart, of the intensity
statistics of the body alone (air beside it does not count):

1. How far is it from the most common tissue? The places that are rare in the volume are left out of the reference.
2. How far is it from the most similar place near its mirrored one? Normal structures come in pairs.
3. How much rarer is it than its mirrored place? Of two unlike halves the rarer one is marked, not both.

Each is put on the volume's own scale (median and median absolute deviation), and what lies above is averaged, so that
what is usual in one way does not speak against the others. All of this is fitted on the volume itself: it says what is
unusual in this patient, not what is abnormal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import FRAME_PX, MAP_PX, RefinedConfig
from ..protocols import PatchSearcher
from ..volume import MirrorPlane, find_mirror
from .calibration import OUTSIDE, Calibration, measure_parts
from .features import EncodedSlice
from .prepare import PreparedVolume

_CELL_PX = 4
_SIDE = MAP_PX // _CELL_PX
_CHUNK = 2048
_LEAST_CELLS = 50


class OwnVolume:
    """Judges a volume by itself, where a `Calibration` judges it by a bank's normals.

    Args:
        prepared: the volume; all its slices are looked at.
        config: the preset.

    Attributes:
        mirror_: the patient's plane of symmetry.
    """

    def __init__(self, prepared: PreparedVolume, config: RefinedConfig) -> None:
        self.config = config
        self.level = config.own_level
        self.mirror_ = find_mirror(prepared.volume, prepared.foreground_kji)
        self._pixel_mm = prepared.map_pixel_mm
        step = max(1, round(config.own_apart_mm / float(prepared.plane.spacing_yxs_mm[2])))
        self._indexes = range(0, prepared.plane.n_slices, step)
        self._slice_mm = step * float(prepared.plane.spacing_yxs_mm[2])
        statistics, inside = _measure(prepared, self._indexes, config)
        self._values = np.zeros(inside.shape, np.float32)
        if inside.sum() >= _LEAST_CELLS:
            grid = _Grid(inside, _to_ras(prepared) @ np.diag([step, 1, 1, 1]), self._slice_mm)
            self._values = grid.smoothed(self._unusual(statistics[inside], grid), config.own_smooth_cells)

    def maps(self, encoded: EncodedSlice, bank: PatchSearcher | None = None) -> FloatArray:
        """Return the map of a slice (1, 256, 256) in own standard deviations; OUTSIDE beyond the foreground."""
        place = encoded.index / self._indexes.step
        below = min(int(place), len(self._values) - 1)
        above = min(below + 1, len(self._values) - 1)
        cells = self._values[below] * (1 - (place - below)) + self._values[above] * (place - below)
        values = ndimage.affine_transform(
            cells, [1 / _CELL_PX] * 2, 1 / 8 - 0.5, (MAP_PX, MAP_PX), order=1, mode="nearest"
        )
        return np.where(encoded.foreground, values, OUTSIDE).astype(np.float32)[None]

    def tails(self, maps: FloatArray, labels: AnyArray, count: int, depth: float) -> list[float]:
        """Return for each part how little its height exceeds what normal volumes reach, 1 at the level.

        A falling exponential in height: no share of normal slices, for there are none.
        """
        peaks, masses = measure_parts(maps[0], labels, count, self.level)
        areas_mm2 = np.bincount(labels.ravel(), minlength=count + 1)[1:] * self._pixel_mm**2
        tails = np.exp(-(peaks - self.level) * self.config.own_decay)
        return [float(tail) if area >= self.config.own_least_mm2 else 1.0 for tail, area in zip(tails, areas_mm2)]

    def is_sharp(self, maps: FloatArray, cluster: BoolArray) -> bool:
        """Tell whether the map is as sharp as the image."""
        return False

    def pixel_note(self, pixel_mm: float) -> tuple[str, ...]:
        """Return what bounds the result."""
        return (
            "no bank: unusual within this patient, compared with the other side and the other tissue of this very "
            "volume; what is abnormal on both sides, or common, may be missed",
        )

    def _unusual(self, rows: FloatArray, grid: _Grid) -> FloatArray:
        """Return the mean of the three own scores (n,) of statistics (n, D)."""
        rows = _standardized(rows)
        draw = np.random.default_rng(self.config.seed)
        n_drawn = self.config.own_sample
        rare = np.log(_distance(rows, _sample(rows, draw, n_drawn), self.config.own_rare_share) + 1e-6)
        places = grid.mirrored(self.mirror_)
        unlike, rarest = grid.beside_mirrored(rows, rare, places, self.config.own_near)
        beyond = rare - rarest
        first = grid.smoothed(_own_z(unlike) + _own_z(rare) + _own_z(beyond), self.config.own_first_cells)[grid.inside]
        common = rows[first <= np.quantile(first, self.config.own_common_share)]
        far = np.log(_distance(rows, _sample(common, draw, n_drawn), 0.0) + 1e-6)
        scores = (_own_z(far), _own_z(np.log(unlike + 1e-6)), _own_z(beyond))
        return np.asarray(np.mean([np.maximum(score, 0) for score in scores], 0), np.float32)


Judge: TypeAlias = Calibration | OwnVolume
"""What says how unusual a place is: a bank's normals, or the volume itself."""


@dataclass(frozen=True)
class _Grid:
    """Cells of a stack of slices.

    Attributes:
        inside: cells of the foreground, bool (S, 64, 64).
        to_ras: (slice of the stack, row, column) to mm (4, 4).
        slice_mm: distance between slices of the stack.
    """

    inside: BoolArray
    to_ras: DoubleArray
    slice_mm: float

    def full(self, values: FloatArray, outside: float = 0.0) -> FloatArray:
        """Spread values (n,) over (S, 64, 64)."""
        spread = np.full(self.inside.shape, outside, np.float32)
        spread[self.inside] = values
        return spread

    def smoothed(self, values: FloatArray, sigma: float) -> FloatArray:
        """Smooth values (n,) within slices, over the foreground only (S, 64, 64)."""
        share = ndimage.gaussian_filter(self.inside.astype(np.float32), (0, sigma, sigma))
        total = ndimage.gaussian_filter(self.full(values), (0, sigma, sigma))
        return np.asarray(total / np.maximum(share, 1e-6))

    def mirrored(self, mirror: MirrorPlane) -> AnyArray:
        """Return the nearest cells (n, 3) to the mirrored places."""
        there = np.linalg.inv(self.to_ras) @ mirror.ras_to_mirrored @ self.to_ras
        return np.rint(np.argwhere(self.inside) @ there[:3, :3].T + there[:3, 3]).astype(int)

    def beside_mirrored(
        self, rows: FloatArray, rare: FloatArray, places: AnyArray, near: Sequence[float]
    ) -> tuple[FloatArray, FloatArray]:
        """Return the least distance (n,) to a cell near the mirrored place, and the highest rarity near it.

        A cell whose mirrored place lies outside the body has nothing to compare with and gets the median.
        """
        number = np.full(self.inside.shape, -1)
        number[self.inside] = np.arange(len(rows))
        least, rarest = np.full(len(rows), np.inf, np.float32), np.full(len(rows), -np.inf, np.float32)
        deep, wide = int(near[0] // self.slice_mm), round(near[1])
        window = range(-deep, deep + 1), range(-wide, wide + 1), range(-wide, wide + 1)
        for offset in np.stack(np.meshgrid(*window), -1).reshape(-1, 3):
            there = places + offset
            here = np.flatnonzero(((there >= 0) & (there < self.inside.shape)).all(1))
            other = number[tuple(there[here].T)]
            here, other = here[other >= 0], other[other >= 0]
            gap = rows[here] - rows[other]
            least[here] = np.minimum(least[here], np.einsum("ij,ij->i", gap, gap))
            if np.abs(offset[1:]).max() < wide:
                rarest[here] = np.maximum(rarest[here], rare[other])
        known = np.isfinite(least) & np.isfinite(rarest)
        if not known.any():
            return np.ones_like(least), rare
        least[~known], rarest[~known] = np.median(least[known]), rare[~known] - np.median((rare - rarest)[known])
        return np.sqrt(least), rarest


def _measure(prepared: PreparedVolume, indexes: range, config: RefinedConfig) -> tuple[FloatArray, BoolArray]:
    """Return local means and spreads over the foreground only (S, 64, 64, D), and which cells are inside."""
    found, inside = [], []
    for index in indexes:
        body = prepared.foreground_map(index)
        raster = np.where(body, prepared.rasters([index], MAP_PX, config)[0], 0)
        means = [_mean(raster, body, sigma) for sigma in config.intensity_means_px]
        variances = [_mean(raster**2, body, s) - _mean(raster, body, s) ** 2 for s in config.intensity_spreads_px]
        found.append(np.stack([*means, *np.sqrt(np.maximum(variances, 0))], -1).astype(np.float32))
        inside.append(body[1::_CELL_PX, 1::_CELL_PX])
    return np.stack(found), np.stack(inside)


def _mean(raster: FloatArray, body: BoolArray, sigma: float) -> FloatArray:
    """Return the Gaussian mean over the body at the middle of each cell (64, 64)."""
    weights = _weights(sigma)
    return np.asarray((weights @ raster @ weights.T) / np.maximum(weights @ body @ weights.T, 1e-3))


def _weights(sigma: float) -> FloatArray:
    offsets = np.arange(MAP_PX)[None] - (_CELL_PX * np.arange(_SIDE) + 1.5)[:, None]
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return np.asarray(weights / weights.sum(1, keepdims=True), np.float32)


def _to_ras(prepared: PreparedVolume) -> DoubleArray:
    """Return the matrix (4, 4) from (slice index, row, column) of the cells to mm in RAS."""

    def ras(index: float, row: float, column: float) -> DoubleArray:
        cell = FRAME_PX / _SIDE
        xy = prepared.frame.to_native_xy((np.array([column, row]) + 0.5) * cell - 0.5)
        return prepared.volume.ijk_to_ras_point(prepared.plane.ijk(index, xy))

    matrix = np.eye(4)
    matrix[:3, 3] = ras(0, 0, 0)
    matrix[:3, :3] = np.stack([ras(*unit) - matrix[:3, 3] for unit in np.eye(3)], 1)
    return matrix


def _sample(rows: FloatArray, draw: np.random.Generator, count: int) -> FloatArray:
    return np.asarray(rows[draw.permutation(len(rows))[:count]])


def _distance(rows: FloatArray, references: FloatArray, share: float) -> FloatArray:
    """Return the distance (n,) within which a share of the references lies, five of them at least."""
    rank = min(len(references) - 1, max(4, int(share * len(references))))
    squares = (references**2).sum(1)
    found = []
    for start in range(0, len(rows), _CHUNK):
        part = rows[start : start + _CHUNK]
        squared = (part**2).sum(1)[:, None] + squares - 2 * part @ references.T
        found.append(np.partition(squared, rank, 1)[:, rank])
    return np.asarray(np.sqrt(np.maximum(np.concatenate(found), 0)), np.float32)


def _standardized(rows: FloatArray) -> FloatArray:
    return np.stack([_own_z(column) for column in rows.T], 1)


def _own_z(values: FloatArray) -> FloatArray:
    """Return values (n,) on their own scale: less the median, over 1.48 times the median absolute deviation."""
    center = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - center))
    return np.asarray((values - center) / max(float(spread), 1e-3 * float(values.std()) + 1e-6), np.float32)
