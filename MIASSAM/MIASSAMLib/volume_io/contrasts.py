"""Further contrasts of a patient, brought onto the voxels of the first one by a stated rule, or refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import AnyArray, DoubleArray
from ..errors import InputError
from ..volume import Volume
from .raw import quiet_itk

_SAME_VOXELS = 0.02
_STEP = 4


def on_voxels_of(volume: Volume, first: Volume) -> Volume:
    """Return a volume on the voxels of another one of the same patient.

    Voxels that coincide stay as they are. Others are interpolated linearly where both lie in one frame, which the
    notes say; beyond its own extent the volume is its smallest value. Nothing is registered. Without voxel sizes only
    equal numbers of voxels can be laid over each other.

    Raises:
        InputError: the frames of reference differ, the volumes do not overlap, or nothing says where they lie.
    """
    if not (volume.has_spacing and first.has_spacing):
        if volume.shape_kji == first.shape_kji:
            return replace(volume, ijk_to_ras=first.ijk_to_ras, has_spacing=first.has_spacing)
        raise InputError(
            f"{volume.name} has {_words(volume)} voxels and {first.name} {_words(first)}, and one of them does not "
            "say where they lie; give files of one size, or with geometry (NIfTI, NRRD, DICOM)"
        )
    if volume.frame_uid and first.frame_uid and volume.frame_uid != first.frame_uid:
        raise InputError(
            f"{volume.name} lies in another frame of reference than {first.name} (two sittings or scanners); register "
            "it first, for example with Slicer's General Registration (BRAINS), and give the registered volume"
        )
    first_to_own = np.linalg.inv(volume.ijk_to_ras) @ first.ijk_to_ras
    corners = np.array([[*ijk, 1] for ijk in np.ndindex(2, 2, 2)]) * [*np.array(first.shape_kji[::-1]) - 1, 1]
    if volume.shape_kji == first.shape_kji and np.abs(corners @ (first_to_own - np.eye(4)).T).max() < _SAME_VOXELS:
        return replace(volume, ijk_to_ras=first.ijk_to_ras)
    return _resampled(volume, first, _covered(first_to_own, volume, first))


def _covered(first_to_own: DoubleArray, volume: Volume, first: Volume) -> float:
    """Return the share of the first volume's voxels that lie within the other one, asked of every fourth.

    Raises:
        InputError: none does.
    """
    axes = [np.arange(min(_STEP // 2, n - 1), n, _STEP) for n in first.shape_kji[::-1]]
    ijk = np.stack(np.meshgrid(*axes, indexing="ij"), -1) @ first_to_own[:3, :3].T + first_to_own[:3, 3]
    inside = ((ijk >= -0.5) & (ijk < np.array(volume.shape_kji[::-1]) - 0.5)).all(-1)
    if not inside.any():
        raise InputError(
            f"{volume.name} and {first.name} do not overlap: their voxels lie in different places; give volumes of "
            "one patient in one position, or register them first"
        )
    return float(inside.mean())


def _resampled(volume: Volume, first: Volume, covered: float) -> Volume:
    import SimpleITK as sitk

    lowest = float(volume.voxels_kji.min())
    with quiet_itk():
        image = sitk.GetImageFromArray(volume.voxels_kji)
        grid = sitk.Image([int(n) for n in first.shape_kji[::-1]], sitk.sitkUInt8)
        moved = sitk.Resample(image, grid, _index_transform(first, volume), sitk.sitkLinear, lowest, sitk.sitkFloat32)
    words = f"{volume.name} was interpolated linearly onto the voxels of {first.name}"
    if covered < 0.995:
        words += f", of which it covers {covered:.0%}; beyond them it does not count"
    notes = (*volume.notes, words)
    return replace(volume, voxels_kji=sitk.GetArrayFromImage(moved), ijk_to_ras=first.ijk_to_ras, notes=notes)


def _index_transform(first: Volume, volume: Volume) -> Any:
    """Return SimpleITK's transform from voxel indexes to voxel indexes, so that sheared grids count as well."""
    import SimpleITK as sitk

    matrix: AnyArray = np.linalg.inv(volume.ijk_to_ras) @ first.ijk_to_ras
    return sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())


def _words(volume: Volume) -> str:
    return " x ".join(str(n) for n in volume.shape_kji[::-1])
