"""NRRD and MetaImage through SimpleITK, the reader that Slicer itself builds on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import DoubleArray
from ..errors import InputError
from .raw import RawImage, flip_lps_ras, quiet_itk


def read_itk(path: Path) -> RawImage:
    """Read one file with SimpleITK.

    Raises:
        InputError: the file is damaged, 4-D, or of a kind ITK does not know.
    """
    import SimpleITK as sitk

    with quiet_itk():
        reader = read_header(path)
        refuse_series(reader.GetSize(), path.name)
        try:
            image = reader.Execute()
        except RuntimeError as error:
            raise damaged(path.name, error) from error
    voxels = sitk.GetArrayFromImage(image)
    channels = image.GetNumberOfComponentsPerPixel()
    spatial = voxels.shape[: voxels.ndim - (channels > 1)]
    voxels = voxels.reshape(*((1, *spatial) if len(spatial) == 2 else spatial[-3:]), *voxels.shape[len(spatial) :])
    return RawImage(voxels, flip_lps_ras(ijk_to_lps(image)))


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
        raise damaged(path.name, error) from error
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


def damaged(name: str, error: Exception) -> InputError:
    """Return the error for a file that cannot be read, with the last line the reader said."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[-1] if lines else type(error).__name__
    return InputError(
        f"{name}: the file cannot be read, it may be cut short or damaged; copy it again from its source ({said})"
    )
