"""A volume: voxels and where they are in the patient."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..errors import InputError


@dataclass(frozen=True)
class Volume:
    """A scalar volume in patient space.

    Attributes:
        voxels_kji: float32 (K, J, I), finite.
        ijk_to_ras: float64 (4, 4), voxel index to mm, voxel centers at integers.
        name: short name for outputs.
        modality: "mri", "ct", "oct" or "" when unknown.
        source: where it came from, for reports.
        notes: what was changed on reading, in words.
        region_kji: the part that is compared and marked, bool (K, J, I); None = all.
        has_spacing: whether the size of a voxel is known; False for pictures, whose pixels only count as 1 x 1 mm.
        frame_uid: DICOM's frame of reference, "" when unknown.
        contrasts: further volumes of the same patient on the same voxels, such as T1c beside FLAIR.
    """

    voxels_kji: FloatArray
    ijk_to_ras: DoubleArray
    name: str = "volume"
    modality: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    has_spacing: bool = True
    region_kji: BoolArray | None = None
    frame_uid: str = ""
    contrasts: tuple[Volume, ...] = ()

    def __post_init__(self) -> None:
        if self.voxels_kji.ndim != 3 or 0 in self.voxels_kji.shape:
            raise InputError(
                f"{self.name}: voxels have shape {self.voxels_kji.shape}; expected a scalar volume (K, J, I)"
            )
        if self.ijk_to_ras.shape != (4, 4) or abs(np.linalg.det(self.ijk_to_ras[:3, :3])) < 1e-12:
            raise InputError(
                f"{self.name}: the direction or spacing is degenerate; expected an invertible 4x4 ijk_to_ras"
            )
        if self.region_kji is not None:
            self._check_region(self.region_kji)
        for other in self.contrasts:
            if other.shape_kji != self.shape_kji:
                raise InputError(
                    f"{other.name} has {other.shape_kji} voxels (K, J, I) and {self.name} {self.shape_kji}; "
                    "bring contrasts onto one grid first"
                )

    def _check_region(self, region_kji: BoolArray) -> None:
        if region_kji.shape != self.voxels_kji.shape:
            raise InputError(
                f"{self.name}: the region has shape {region_kji.shape} and the voxels {self.voxels_kji.shape}; "
                "give a region drawn on this volume"
            )
        if not region_kji.any():
            raise InputError(
                f"{self.name}: the region is empty: nothing would be compared; mark the organ in it, or leave it out"
            )

    @property
    def voxels_sha256(self) -> str:
        """SHA-256 of the voxels."""
        return hashlib.sha256(np.ascontiguousarray(self.voxels_kji).data).hexdigest()

    @property
    def region_sha256(self) -> str:
        """SHA-256 of the region, "" = none."""
        if self.region_kji is None:
            return ""
        return hashlib.sha256(np.packbits(self.region_kji).tobytes()).hexdigest()

    @property
    def shape_kji(self) -> tuple[int, int, int]:
        """Number of voxels along k, j, i."""
        k, j, i = self.voxels_kji.shape
        return k, j, i

    @property
    def spacing_mm(self) -> DoubleArray:
        """Voxel size along i, j, k in mm."""
        return np.asarray(np.linalg.norm(self.ijk_to_ras[:3, :3], axis=0))

    def respaced(self, spacing_kji_mm: Sequence[float]) -> Volume:
        """Return the volume with other distances between voxels along k, j, i, mm; the first voxel stays in place."""
        matrix = self.ijk_to_ras.copy()
        matrix[:3, :3] *= np.array(spacing_kji_mm)[::-1] / self.spacing_mm
        words = " x ".join(f"{mm:g}" for mm in spacing_kji_mm)
        notes = (*self.notes, f"spacing {words} mm (k, j, i) was given")
        return replace(self, ijk_to_ras=matrix, notes=notes, has_spacing=True)

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in milliliters."""
        return float(abs(np.linalg.det(self.ijk_to_ras[:3, :3]))) / 1000.0

    def ijk_to_ras_point(self, ijk: AnyArray) -> DoubleArray:
        """Return RAS positions in mm of voxel indexes (..., 3)."""
        return np.asarray(np.asarray(ijk, float) @ self.ijk_to_ras[:3, :3].T + self.ijk_to_ras[:3, 3])

    def ras_to_ijk_point(self, ras: AnyArray) -> DoubleArray:
        """Return (fractional) voxel indexes of RAS positions (..., 3)."""
        inverse = np.linalg.inv(self.ijk_to_ras)
        return np.asarray(np.asarray(ras, float) @ inverse[:3, :3].T + inverse[:3, 3])

    def contains_ijk(self, ijk: AnyArray) -> bool:
        """Tell whether a (fractional) voxel index lies within the volume's voxels."""
        upper = np.array(self.shape_kji[::-1]) - 0.5
        point = np.asarray(ijk, float)
        return bool(np.all(point >= -0.5) and np.all(point < upper))
