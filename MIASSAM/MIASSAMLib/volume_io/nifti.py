"""NIfTI: voxels through nibabel, which notices a file that is cut short; geometry as Slicer sees it."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import DoubleArray
from ..errors import InputError
from .door import PACKED_AT_MOST, check_file, check_geometry, check_packed, check_size, in_words, unreadable
from .itk import ijk_to_lps, read_header, refuse_series
from .raw import RawImage, flip_lps_ras, is_right_angled, quiet_itk

_AGREE_MM = 1e-2
_RIGHT_ANGLE_TOLERANCE = 1e-4


def read_nifti(path: Path) -> RawImage:
    """Read one NIfTI file.

    ITK reads a file that was cut short without a word and fills the rest with garbage (seen with
    SimpleITK 2.5.7), so it is asked for the geometry only.

    Raises:
        InputError: the file is damaged, 4-D or a vector image.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    held = check_file(path)
    try:
        with in_words(path.name), quiet_nibabel():
            image: Any = nibabel.load(path)
            refuse_series(image.shape, path.name)
            _check_voxels(path, image.dataobj, held)
            stored = np.asanyarray(image.dataobj)
    except (ImageFileError, HeaderDataError) as error:
        raise unreadable(path.name) from error
    stored = stored.reshape(*stored.shape[:3], *(1,) * (3 - stored.ndim))
    voxels_kji = stored.transpose(2, 1, 0)
    if voxels_kji.dtype.names:
        voxels_kji = np.stack([voxels_kji[channel] for channel in voxels_kji.dtype.names], axis=-1)
    ijk_to_ras, notes = _geometry(path, image)
    check_geometry(ijk_to_ras, path.name)
    return RawImage(voxels_kji, ijk_to_ras, notes=notes)


def _check_voxels(path: Path, stored: Any, held: int) -> None:
    """Hold what the header says against the file."""
    is_packed, first, n_bytes = path.name.lower().endswith(".gz"), int(stored.offset), stored.dtype.itemsize
    check_size(stored.shape, n_bytes, held * PACKED_AT_MOST if is_packed else held - first, path.name)
    if is_packed:
        check_packed(path, 0, first + n_bytes * math.prod(int(n) for n in stored.shape))


@contextmanager
def quiet_nibabel() -> Iterator[None]:
    """Keep nibabel's remarks on headers from the terminal."""
    logger = logging.getLogger("nibabel.global")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _geometry(path: Path, image: Any) -> tuple[DoubleArray, tuple[str, ...]]:
    """Return ITK's choice between qform and sform, or the file's own matrix where ITK has none."""
    own = np.asarray(image.affine, np.float64)
    if not np.isfinite(own).all():  # ITK would decompose it for ever
        check_geometry(own, path.name)
    try:
        with quiet_itk():
            header = read_header(path)
    except InputError:
        return own, ("the NIfTI axes are not at right angles; the file's sform was used as it is",)
    shown = flip_lps_ras(ijk_to_lps(header))
    corner = np.append(np.array(image.shape[:3] + (1,) * (3 - len(image.shape))) - 1.0, 1.0)
    gap_mm = max(np.abs((own - shown) @ point).max() for point in (corner, np.array([0.0, 0.0, 0.0, 1.0])))
    if gap_mm <= _AGREE_MM:
        return own if is_right_angled(own, _RIGHT_ANGLE_TOLERANCE) else shown, ()
    note = f"qform, sform and units of the header leave {gap_mm:.2f} mm of doubt; placed where Slicer places it"
    return shown, (note,)
