"""Voxel grids to sample a phantom on: the same body in any storage order, direction and spacing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from ..arrays import DoubleArray
from ..errors import UsageError

GEOMETRIES = (
    "axial",
    "sagittal",
    "coronal",
    "flipped",
    "oblique",
    "tilted",
    "isotropic",
    "single-slice",
)
_TURN_DEGREES = 23.0


@dataclass(frozen=True)
class Grid:
    """Where voxels lie, and where the body lies.

    Attributes:
        shape_kji: number of voxels along k, j, i.
        ijk_to_ras: float64 (4, 4), mm.
        anatomy_to_ras: float64 (4, 4): the body's own frame to patient space; turned when the
            patient lies turned in the scanner.
    """

    shape_kji: tuple[int, int, int]
    ijk_to_ras: DoubleArray
    anatomy_to_ras: DoubleArray = field(default_factory=lambda: np.eye(4))

    @classmethod
    def centered(cls, shape_kji: tuple[int, int, int], spacing_ijk_mm: tuple[float, float, float]) -> Grid:
        """Return the plain grid: i to the left, j to the back, k up (RAS -, -, +), centered on the body."""
        matrix = np.diag([-spacing_ijk_mm[0], -spacing_ijk_mm[1], spacing_ijk_mm[2], 1.0])
        matrix[:3, 3] = -matrix[:3, :3] @ (np.array(shape_kji[::-1]) - 1) / 2
        return cls(shape_kji, matrix)

    def permuted(self, order: tuple[int, int, int]) -> Grid:
        """Store the same points with the axes i, j, k taken in another order."""
        shape_ijk = self.shape_kji[::-1]
        i, j, k = (shape_ijk[axis] for axis in order)
        return replace(self, shape_kji=(k, j, i), ijk_to_ras=self.ijk_to_ras[:, [*order, 3]])

    def flipped(self, axes: tuple[int, ...]) -> Grid:
        """Store the same points with some of the axes i, j, k (0, 1, 2) running the other way."""
        matrix = self.ijk_to_ras.copy()
        for axis in axes:
            matrix[:3, 3] += matrix[:3, axis] * (self.shape_kji[2 - axis] - 1)
            matrix[:3, axis] *= -1
        return replace(self, ijk_to_ras=matrix)

    def turned(self, degrees: float, with_patient: bool) -> Grid:
        """Turn the stack of slices about an oblique axis, with the patient or against a patient who lies straight."""
        turn = _rotation(degrees)
        anatomy = turn @ self.anatomy_to_ras if with_patient else self.anatomy_to_ras
        return replace(self, ijk_to_ras=turn @ self.ijk_to_ras, anatomy_to_ras=anatomy)

    def resampled(self, spacing_ijk_mm: tuple[float, float, float]) -> Grid:
        """Cover the same box with another spacing."""
        spacing = np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0)
        extent = spacing * self.shape_kji[::-1]
        i, j, k = (max(1, int(round(mm / step))) for mm, step in zip(extent, spacing_ijk_mm))
        matrix = self.ijk_to_ras.copy()
        matrix[:3, :3] *= np.array(spacing_ijk_mm) / spacing
        middle = self.ijk_to_ras[:3, :3] @ ((np.array(self.shape_kji[::-1]) - 1) / 2) + self.ijk_to_ras[:3, 3]
        matrix[:3, 3] = middle - matrix[:3, :3] @ ((np.array([i, j, k]) - 1) / 2)
        return replace(self, shape_kji=(k, j, i), ijk_to_ras=matrix)

    def one_slice(self, index: int) -> Grid:
        """Keep slice `index` along k only."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, 3] += matrix[:3, 2] * index
        return replace(self, shape_kji=(1, *self.shape_kji[1:]), ijk_to_ras=matrix)

    def anatomy_points(self, k: int) -> DoubleArray:
        """Return the body-frame positions (3, J * I) of slice k, in mm, rounded to a nanometer.

        The rounding makes a permuted or flipped grid sample bit for bit the same points.
        """
        _, rows, columns = self.shape_kji
        j, i = (index.ravel() for index in np.mgrid[:rows, :columns])
        matrix = np.linalg.inv(self.anatomy_to_ras) @ self.ijk_to_ras
        rows_of = (m[0] * i + m[1] * j + (m[2] * k + m[3]) for m in matrix[:3])
        return np.round(np.stack(list(rows_of)), 6)


def vary(grid: Grid, geometry: str) -> Grid:
    """Return the grid in one of GEOMETRIES.

    `sagittal`, `coronal` and `flipped` store the same points in another order; `oblique` turns
    patient and stack together by 23 degrees (equal voxels, another direction matrix); `tilted`
    turns the stack alone; `isotropic` has the mean in-plane spacing doubled along all axes.

    Raises:
        UsageError: the name is unknown.
    """
    ways = {
        "axial": lambda: grid,
        "sagittal": lambda: grid.permuted((1, 2, 0)),
        "coronal": lambda: grid.permuted((0, 2, 1)),
        "flipped": lambda: grid.flipped((0, 2)),
        "oblique": lambda: grid.turned(_TURN_DEGREES, with_patient=True),
        "tilted": lambda: grid.turned(_TURN_DEGREES, with_patient=False),
        "isotropic": lambda: grid.resampled((_isotropic_mm(grid),) * 3),
        "single-slice": lambda: grid.one_slice(grid.shape_kji[0] // 2),
    }
    if geometry not in ways:
        raise UsageError(f"phantom geometry '{geometry}' is unknown; choose one of {', '.join(GEOMETRIES)}")
    return ways[geometry]()


def _isotropic_mm(grid: Grid) -> float:
    return 2 * float(np.linalg.norm(grid.ijk_to_ras[:3, :2], axis=0).mean())


def _rotation(degrees: float) -> DoubleArray:
    """Return a rotation (4, 4) about the unit vector along (1, 2, 2)."""
    axis = np.array([1.0, 2.0, 2.0]) / 3
    angle = np.radians(degrees)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    matrix = np.eye(4)
    matrix[:3, :3] += np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    return matrix
