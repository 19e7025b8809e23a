"""Read a volume from whatever the user points at."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..errors import InputError
from ..files import reason
from ..volume import Volume
from .dicom import dicom_folders, has_dicom, read_dicom
from .door import check_file
from .formats import DICOM_SEGMENTATION, HEAT_MAP, SEGMENTATION, SUPPORTED, case_name, file_format, is_dicom
from .heidelberg import read_heidelberg
from .itk import read_itk
from .nifti import read_nifti
from .pictures import read_picture
from .raw import RawImage, to_volume

_READERS = {
    "nifti": read_nifti,
    "itk": read_itk,
    "picture": read_picture,
    "dicom": read_dicom,
    "heidelberg": read_heidelberg,
}
_BLOCK = 1 << 20


def read_volume(path: Path | str) -> Volume:
    """Read one image file or one DICOM folder.

    The DICOM series with the most slices is taken and the others are noted; a DICOM file stands
    for its series. NaN and infinity are replaced and noted. Positions are RAS mm.

    Raises:
        InputError: nothing usable there; the message says what came, what was wanted, what to do.
    """
    path = Path(path).expanduser()
    return to_volume(read_raw(path), case_name(path), str(path))


def read_raw(path: Path) -> RawImage:
    """Read voxels as stored.

    Raises:
        InputError: the file or folder is missing, unreadable or of an unknown kind.
    """
    check_readable(path)
    kind = "dicom" if path.is_dir() or is_dicom(path) else file_format(path)
    if not kind:
        raise InputError(f"{path.name}: unknown kind of file; expected {SUPPORTED}; convert it first")
    return _READERS[kind](path)


def check_readable(path: Path) -> None:
    """Refuse a path that is not there, may not be read, or is empty.

    Raises:
        InputError: with the reason.
    """
    if not path.is_dir():
        check_file(path)


def find_inputs(paths: Iterable[Path | str]) -> list[Path]:
    """Expand folders: the images in a folder, a DICOM folder as one input, folders of DICOM folders.

    Files stay as they are, in the order given. In folders, segmentations (.seg.nrrd), heat maps and
    contact sheets of an earlier run and hidden files are passed over. Nothing is listed twice.

    Raises:
        InputError: a path does not exist, or a folder holds no image.
    """
    found: list[Path] = []
    for path in (Path(p).expanduser() for p in paths):
        found += _images_in(path) if path.is_dir() else [_existing(path)]
    return list({path.absolute(): path for path in found}.values())


def source_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder's files in the order of their names."""
    digest = hashlib.sha256()
    files = sorted(entry for entry in path.iterdir() if entry.is_file()) if path.is_dir() else [path]
    for file in files:
        with open(file, "rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _existing(path: Path) -> Path:
    try:
        if not path.is_file():
            path.stat()
            check_file(path)
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}; give an image file or a folder of images") from error
    return path


def _images_in(folder: Path) -> list[Path]:
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        if has_dicom(folder):
            return [folder]
        images = [entry for entry in entries if entry.is_file() and _is_image(entry)]
        images = images or dicom_folders(folder)
    except OSError as error:
        raise InputError(f"{folder}: {reason(error)}; give a folder that can be read") from error
    if not images:
        raise InputError(f"{folder}: the folder holds no image; expected {SUPPORTED}; give the images' own folder")
    return images


def _is_image(path: Path) -> bool:
    return (
        bool(file_format(path))
        and not path.name.lower().endswith((SEGMENTATION, DICOM_SEGMENTATION))
        and not _is_output(path)
    )


def _is_output(path: Path) -> bool:
    """Tell whether a file was written by an earlier run into the same folder."""
    for end in (f"{HEAT_MAP}.nii.gz", ".png"):
        base = path.name.removesuffix(end)
        if base != path.name and all((path.parent / (base + suffix)).is_file() for suffix in (SEGMENTATION, ".json")):
            return True
    return False
