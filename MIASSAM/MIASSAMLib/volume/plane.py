"""How a volume is cut: the slice axis, and one display orientation for every storage order.

Flipped or permuted storage of the same patient gives the same slice images, so it gives the same
masks. Axial: rows run anterior to posterior, columns right to left; coronal: rows superior to
inferior, columns right to left; sagittal: rows superior to inferior, columns anterior to posterior.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, DoubleArray
from ..errors import UsageError
from .volume import Volume

AXIS_NAMES = ("auto", "axial", "coronal", "sagittal", "i", "j", "k")

_NORMAL_OF_NAME = {"sagittal": 0, "coronal": 1, "axial": 2}
_NAME_OF_NORMAL = {normal: name for name, normal in _NORMAL_OF_NAME.items()}
_DISPLAY = {  # anatomical normal -> ((row axis, sign), (column axis, sign)) in R, A, S
    2: ((1, -1), (0, -1)),
    1: ((2, -1), (0, -1)),
    0: ((2, -1), (1, -1)),
}


def check_axis(axis: str) -> None:
    """Refuse a slice axis that has no such name.

    Raises:
        UsageError: with the names there are.
    """
    if axis not in AXIS_NAMES:
        raise UsageError(f"slice axis '{axis}' is unknown; choose one of {', '.join(AXIS_NAMES)}")


@dataclass(frozen=True)
class SlicePlane:
    """A cut through a volume's voxels.

    Attributes:
        slice_axis: storage axis cut along, in i, j, k order (0, 1, 2).
        row_axis, column_axis: storage axes shown as rows (y) and columns (x).
        flip_rows, flip_columns: whether display order runs against storage order.
        shape_kji: voxels of the volume this plane belongs to.
        orientation: nearest anatomical name.
        spacing_yxs_mm: spacing along rows, columns and between slices, mm.
        flip_slices: whether slice indexes fall toward the patient's right, front or top.
    """

    slice_axis: int
    row_axis: int
    column_axis: int
    flip_rows: bool
    flip_columns: bool
    shape_kji: tuple[int, int, int]
    orientation: str
    spacing_yxs_mm: tuple[float, float, float]
    flip_slices: bool = False

    @classmethod
    def of(cls, volume: Volume, axis: str = "auto") -> SlicePlane:
        """Choose the plane of a volume.

        axis: `auto` is the acquisition axis (the one with the largest spacing), or axial when all
        spacings agree within 5 %; an anatomical name takes the storage axis nearest to it.

        Raises:
            UsageError: the axis has an unknown name.
        """
        check_axis(axis)
        anatomy, signs = _anatomical_axes(volume.ijk_to_ras)
        slice_axis = _slice_axis(volume, axis, anatomy)
        normal = anatomy[slice_axis]
        (row_normal, row_sign), (column_normal, column_sign) = _DISPLAY[normal]
        row, column = anatomy.index(row_normal), anatomy.index(column_normal)
        spacing = volume.spacing_mm
        return cls(
            slice_axis=slice_axis,
            row_axis=row,
            column_axis=column,
            flip_rows=signs[row] != row_sign,
            flip_columns=signs[column] != column_sign,
            shape_kji=volume.shape_kji,
            orientation=_NAME_OF_NORMAL[normal],
            spacing_yxs_mm=(float(spacing[row]), float(spacing[column]), float(spacing[slice_axis])),
            flip_slices=signs[slice_axis] < 0,
        )

    @property
    def n_slices(self) -> int:
        """Number of slices."""
        return self.shape_kji[2 - self.slice_axis]

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Rows and columns of a slice."""
        return self.shape_kji[2 - self.row_axis], self.shape_kji[2 - self.column_axis]

    @property
    def pixel_mm2(self) -> float:
        """Area of one pixel in mm2."""
        return self.spacing_yxs_mm[0] * self.spacing_yxs_mm[1]

    @property
    def pixel_mm(self) -> float:
        """Return the side of the square of a pixel's area, mm."""
        return float(np.sqrt(self.pixel_mm2))

    @property
    def axis_letter(self) -> str:
        """Storage axis cut along: i, j or k."""
        return "ijk"[self.slice_axis]

    def view(self, array_kji: AnyArray) -> AnyArray:
        """Return the array seen as (slices, rows, columns) in display order; writes go through."""
        view = array_kji.transpose(2 - self.slice_axis, 2 - self.row_axis, 2 - self.column_axis)
        return view[:, :: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def take(self, array_kji: AnyArray, index: int) -> AnyArray:
        """Return slice `index` (storage order) as pixels (H, W) in display order."""
        pixels: AnyArray = self.view(array_kji)[index]
        return pixels

    def put(self, array_kji: AnyArray, index: int, pixels: AnyArray) -> None:
        """Write pixels (H, W) in display order back into slice `index`."""
        self.view(array_kji)[index] = pixels

    def ijk(self, index: float, xy: AnyArray) -> DoubleArray:
        """Return voxel indexes (3,) i, j, k of a native pixel (x, y) of slice `index`."""
        rows, columns = self.shape_yx
        x, y = float(xy[0]), float(xy[1])
        ijk = np.empty(3)
        ijk[self.slice_axis] = index
        ijk[self.row_axis] = rows - 1 - y if self.flip_rows else y
        ijk[self.column_axis] = columns - 1 - x if self.flip_columns else x
        return ijk

    def slice_xy(self, ijk: AnyArray) -> tuple[float, DoubleArray]:
        """Return the (fractional) slice index and native pixel (x, y) of a voxel index."""
        rows, columns = self.shape_yx
        y, x = float(ijk[self.row_axis]), float(ijk[self.column_axis])
        xy = np.array([columns - 1 - x if self.flip_columns else x, rows - 1 - y if self.flip_rows else y])
        return float(ijk[self.slice_axis]), xy


def _anatomical_axes(ijk_to_ras: DoubleArray) -> tuple[list[int], list[int]]:
    """Return for each storage axis i, j, k its nearest anatomical axis (R, A, S) and direction."""
    directions = ijk_to_ras[:3, :3] / np.linalg.norm(ijk_to_ras[:3, :3], axis=0)
    best = max(
        itertools.permutations(range(3)),
        key=lambda axes: sum(abs(directions[axes[n], n]) for n in range(3)),
    )
    return list(best), [1 if directions[best[n], n] >= 0 else -1 for n in range(3)]


def _slice_axis(volume: Volume, axis: str, anatomy: list[int]) -> int:
    if axis in ("i", "j", "k"):
        return "ijk".index(axis)
    if axis in _NORMAL_OF_NAME:
        return anatomy.index(_NORMAL_OF_NAME[axis])
    spacing = volume.spacing_mm
    single = [n for n in range(3) if volume.shape_kji[2 - n] == 1]
    if len(single) == 1:
        return single[0]
    if spacing.max() > 1.05 * spacing.min():
        return int(np.argmax(spacing))
    return anatomy.index(_NORMAL_OF_NAME["axial"])
