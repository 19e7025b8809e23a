"""What a file held, before it becomes a Volume: any dtype, any number of channels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from ..arrays import AnyArray, DoubleArray, FloatArray
from ..errors import InputError
from ..volume import Volume

_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
"""ITU-R BT.601 weights of red, green and blue."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_CT_AIR_HU = -500.0


@dataclass(frozen=True)
class RawImage:
    """Voxels as stored.

    Attributes:
        voxels: (K, J, I), or (K, J, I, C) with C channels.
        ijk_to_ras: float64 (4, 4), mm.
        modality: what the file itself says, or "".
        notes: what was noticed while reading.
        has_spacing: whether the file says how large a voxel is.
        frame_uid: DICOM's frame of reference, "" when unknown.
    """

    voxels: AnyArray
    ijk_to_ras: DoubleArray
    modality: str = ""
    notes: tuple[str, ...] = ()
    has_spacing: bool = True
    frame_uid: str = ""


def flip_lps_ras(matrix: AnyArray) -> DoubleArray:
    """Turn an ijk-to-LPS matrix (4, 4) into ijk-to-RAS, or back: the one place where this is done."""
    return np.asarray(_LPS_TO_RAS @ np.asarray(matrix, np.float64))


def flip_lps_ras_point(point: AnyArray) -> DoubleArray:
    """Turn an LPS position (3,) into RAS, or back."""
    return np.asarray(_LPS_TO_RAS[:3, :3] @ np.asarray(point, np.float64))


def is_right_angled(matrix: DoubleArray, tolerance: float) -> bool:
    """Tell whether the axes of a matrix (4, 4) stand at right angles, as rotations and a qform need."""
    unit = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() < tolerance)


def to_volume(raw: RawImage, name: str, source: str) -> Volume:
    """Turn stored voxels into a clean scalar volume.

    Raises:
        InputError: several channels in a 3-D image, complex voxels, or no finite voxel at all.
    """
    scalar, channel_notes = _scalar(raw.voxels, name)
    voxels, finite_notes = _finite(scalar, name)
    volume = Volume(
        voxels_kji=voxels,
        ijk_to_ras=np.asarray(raw.ijk_to_ras, np.float64),
        name=name,
        modality=raw.modality,
        source=source,
        notes=(*raw.notes, *channel_notes, *finite_notes),
        has_spacing=raw.has_spacing,
        frame_uid=raw.frame_uid,
    )
    return volume if volume.modality else replace(volume, modality=guess_modality(volume))


def guess_modality(volume: Volume) -> str:
    """Guess the modality from the voxels: CT by air in Hounsfield units, OCT for a single byte picture.

    A single slice of whole numbers in 0..255 was already windowed by whoever saved it, which is
    how OCT scans come; its grey values are then used as they are. Everything else counts as MRI.
    """
    voxels = volume.voxels_kji
    if float(voxels.min()) <= _CT_AIR_HU:
        return "ct"
    is_byte = voxels.min() >= 0 and 1 < voxels.max() <= 255 and bool(np.all(voxels == np.round(voxels)))
    return "oct" if voxels.shape[0] == 1 and is_byte else "mri"


def _scalar(voxels: AnyArray, name: str) -> tuple[AnyArray, tuple[str, ...]]:
    if np.iscomplexobj(voxels):
        raise InputError(f"{name}: voxels are complex numbers; expected grey values; save the magnitude image")
    if voxels.ndim == 3:
        return voxels, ()
    channels = voxels.shape[3]
    if channels == 1:
        return voxels[..., 0], ()
    if channels == 2 and voxels.shape[0] == 1:
        return voxels[..., 0], ("grey with transparency: the transparency was dropped",)
    if channels in (3, 4) and voxels.shape[0] == 1:
        grey = voxels[..., :3].astype(np.float32) @ _LUMINANCE
        return grey, ("color picture read as luminance (0.299 R + 0.587 G + 0.114 B)",)
    raise InputError(
        f"{name}: the image has {channels} values per voxel (a vector or color volume); "
        "expected one grey value per voxel; save one channel as its own file"
    )


def _finite(voxels: AnyArray, name: str) -> tuple[FloatArray, tuple[str, ...]]:
    """Return C-contiguous float32 voxels with NaN and infinity replaced by the smallest finite value."""
    with np.errstate(over="ignore"):
        clean = np.array(voxels, dtype=np.float32, order="C")
    broken = ~np.isfinite(clean)
    count = int(broken.sum())
    if count == 0:
        return clean, ()
    if count == clean.size:
        raise InputError(
            f"{name}: every voxel is NaN or infinite; expected grey values; export the image again from its source"
        )
    lowest = float(clean[~broken].min())
    clean[broken] = lowest
    note = f"{count} of {clean.size} voxels were NaN or infinite and were set to the smallest value, {lowest:g}"
    return clean, (note,)


@contextmanager
def quiet_itk() -> Iterator[None]:
    """Keep ITK from writing warnings on the terminal."""
    import SimpleITK as sitk

    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)
