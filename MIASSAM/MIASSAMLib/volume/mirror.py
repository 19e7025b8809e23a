"""The plane that a body is mirrored in: found by laying a coarse copy of the volume over its own mirror image.

A mirror plane has three numbers (two tilts, one offset), so carrying a point over twice brings it back exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from .volume import Volume

_CELLS = 40
"""Cells of the coarse copy along the body's longest side: 5 mm in a head."""
_FIRST_TILTS = (-0.15, 0.0, 0.15)
_SIMPLEX = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 1.0]])
_OUTLINE_WEIGHT = 0.5
_INSIDE = 0.05


@dataclass(frozen=True)
class MirrorPlane:
    """The points p with normal . p = offset.

    Attributes:
        normal_ras: unit vector (3,), pointing to the patient's right.
        offset_mm: distance of the plane from the origin along the normal.
        agreement: correlation of the body's brightness with its mirror image's, -1 to 1.
    """

    normal_ras: DoubleArray
    offset_mm: float
    agreement: float

    @property
    def ras_to_mirrored(self) -> DoubleArray:
        """The reflection (4, 4), mm to mm; its own inverse."""
        matrix = np.eye(4)
        matrix[:3, :3] -= 2 * np.outer(self.normal_ras, self.normal_ras)
        matrix[:3, 3] = 2 * self.offset_mm * self.normal_ras
        return matrix


def find_mirror(volume: Volume, foreground_kji: BoolArray) -> MirrorPlane:
    """Find the plane nearest to the patient's midline in which a volume is most like itself.

    The mean absolute difference of brightness and outline is made small, so that a lesion on one side does not pull
    the plane. Heads may be tilted and slices thick. foreground_kji: bool (K, J, I). Under 1 s of processor time.
    """
    if not foreground_kji.any():
        return MirrorPlane(np.array([1.0, 0.0, 0.0]), 0.0, 0.0)
    body = _Body.of(volume, foreground_kji)
    starts = [np.array([yaw, roll, 0.0]) for yaw in _FIRST_TILTS for roll in _FIRST_TILTS]
    start = min(starts, key=body.difference)
    options = {"initial_simplex": start + _SIMPLEX, "xatol": 2e-3, "fatol": 1e-5, "maxfev": 150}
    best = optimize.minimize(body.difference, start, method="Nelder-Mead", options=options).x
    normal, offset = body.plane(best)
    here, there = body.here[0], body.mirrored(normal, offset)[0]
    agreement = float(np.corrcoef(here, there)[0, 1]) if here.std() and there.std() else 0.0
    return MirrorPlane(normal, offset, agreement)


@dataclass(frozen=True)
class _Body:
    """A coarse copy of a body on an isotropic grid along R, A, S.

    Attributes:
        channels: brightness in [0, 1] and outline, (2, X, Y, Z).
        points_ras: cells inside the body, mm (N, 3); `here` holds their channels (2, N).
    """

    channels: FloatArray
    origin_ras: DoubleArray
    step_mm: float
    points_ras: DoubleArray
    here: FloatArray
    center_ras: DoubleArray

    @classmethod
    def of(cls, volume: Volume, foreground_kji: BoolArray) -> _Body:
        corners = _inside_ras(volume, foreground_kji)
        low, high = corners.min(0), corners.max(0)
        step = max(float((high - low).max()) / _CELLS, 1e-6)
        counts = np.ceil((high - low) / step).astype(int) + 3
        origin = low - step
        axes = [origin[axis] + step * np.arange(counts[axis]) for axis in range(3)]
        ijk = volume.ras_to_ijk_point(np.stack(np.meshgrid(*axes, indexing="ij"), -1))
        sigmas = [step / size / 2.355 if step > size else 0.0 for size in volume.spacing_mm[::-1]]
        low_value, high_value = np.percentile(volume.voxels_kji[foreground_kji], [1, 99])
        scaled = np.clip((volume.voxels_kji - low_value) / max(high_value - low_value, 1e-9), 0, 1)
        parts = [np.where(foreground_kji, scaled, 0), foreground_kji]
        brightness, outline = (_sample(ndimage.gaussian_filter(p.astype(np.float32), sigmas), ijk) for p in parts)
        inside = outline > _INSIDE
        points = np.argwhere(inside) * step + origin
        channels = np.stack([brightness, _OUTLINE_WEIGHT * outline])
        return cls(channels, origin, step, points, channels[:, inside], points.mean(0))

    def plane(self, tilts: AnyArray) -> tuple[DoubleArray, float]:
        """Return the normal and offset of tilts: yaw and roll as tangents, shift in cells of four."""
        normal = np.array([1.0, tilts[0], tilts[1]])
        normal /= np.linalg.norm(normal)
        return normal, float(normal @ self.center_ras + tilts[2] * self.step_mm * 4)

    def mirrored(self, normal: DoubleArray, offset: float) -> FloatArray:
        """Return the channels (2, N) at the mirrored places of the cells."""
        points = self.points_ras - 2 * np.outer(self.points_ras @ normal - offset, normal)
        cells = ((points - self.origin_ras) / self.step_mm).T
        return np.stack([ndimage.map_coordinates(channel, cells, order=1) for channel in self.channels])

    def difference(self, tilts: AnyArray) -> float:
        """Return how unlike its mirror image the body is."""
        return float(np.abs(self.here - self.mirrored(*self.plane(tilts))).mean())


def _inside_ras(volume: Volume, foreground_kji: BoolArray) -> DoubleArray:
    """Return about where the body's voxels lie, mm (n, 3): every second one."""
    strided = foreground_kji[:: max(1, foreground_kji.shape[0] // 64), ::2, ::2]
    steps = np.array([2, 2, max(1, foreground_kji.shape[0] // 64)])
    indexes = np.argwhere(strided if strided.any() else foreground_kji)[:, ::-1]
    return volume.ijk_to_ras_point(indexes * (steps if strided.any() else 1))


def _sample(voxels: FloatArray, ijk: DoubleArray) -> FloatArray:
    coordinates = np.moveaxis(ijk, -1, 0)[::-1]
    return np.asarray(ndimage.map_coordinates(voxels, coordinates, order=1), np.float32)
