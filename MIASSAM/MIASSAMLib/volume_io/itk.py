"""NRRD and MetaImage through SimpleITK, the reader that Slicer itself builds on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import DoubleArray
from ..errors import InputError
from .door import (
    PACKED_AT_MOST,
    StoredVoxels,
    check_file,
    check_geometry,
    check_packed,
    check_size,
    in_words,
    stored_voxels,
    unreadable,
)
from .formats import ITK
from .raw import RawImage, flip_lps_ras, quiet_itk


def read_itk(path: Path) -> RawImage:
    """Read one file with SimpleITK.

    Raises:
        InputError: the file is damaged, 4-D, or of a kind ITK does not know.
    """
    import SimpleITK as sitk

    with quiet_itk(), in_words(path.name):
        n_bytes = check_file(path)
        where = stored_voxels(path) if path.name.lower().endswith(ITK) else None
        reader = read_header(path)
        refuse_series(reader.GetSize(), path.name)
        _check_voxels(path, reader, where, n_bytes)
        image = reader.Execute()
    voxels = sitk.GetArrayFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel()
    spatial = voxels.shape[: voxels.ndim - (channels > 1)]
    voxels = voxels.reshape(*((1, *spatial) if len(spatial) == 2 else spatial[-3:]), *voxels.shape[len(spatial) :])
    return RawImage(voxels, flip_lps_ras(ijk_to_lps(image)))


def _check_voxels(path: Path, reader: Any, where: StoredVoxels | None, held: int) -> None:
    """Hold what a header says against the file."""
    import SimpleITK as sitk

    one = sitk.Image((1, 1), reader.GetPixelID(), reader.GetNumberOfComponents())
    n_bytes = sitk.GetArrayViewFromImage(one).nbytes
    if where is not None and where.first is not None:
        held = where.path.stat().st_size - where.first
    is_plain = where is not None and where.first is not None and not where.is_packed
    check_size(reader.GetSize(), n_bytes, held * (1 if is_plain else PACKED_AT_MOST), path.name)
    check_geometry(flip_lps_ras(ijk_to_lps(reader)), path.name)
    if where is not None and where.first is not None and where.is_packed:
        check_packed(where.path, where.first, n_bytes * math.prod(reader.GetSize()))


def read_header(path: Path) -> Any:
    """Return a SimpleITK reader that has read the file's header.

    Raises:
        InputError: the file cannot be understood.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise unreadable(path.name) from error
    return reader


def ijk_to_lps(image: Any) -> DoubleArray:
    """Return the index-to-LPS matrix (4, 4) of a SimpleITK image or reader, 2-D or more."""
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)
    side = min(dimension, 3)
    matrix = np.eye(4)
    matrix[:side, :side] = (direction * np.array(image.GetSpacing()))[:side, :side]
    matrix[:side, 3] = image.GetOrigin()[:side]
    return matrix


def refuse_series(size_ijk: tuple[int, ...], name: str) -> None:
    """Refuse an image with more than one time point.

    Raises:
        InputError: a fourth dimension is longer than one.
    """
    extra = [int(n) for n in size_ijk[3:]]
    if any(n > 1 for n in extra):
        shape = " x ".join(str(int(n)) for n in size_ijk)
        raise InputError(
            f"{name}: the image is {len(size_ijk)}-D ({shape}), {int(np.prod(extra))} volumes in one file; "
            "expected one 3-D volume; save one time point or channel as its own file"
        )
