"""Which files are images, and the case name a file gives its outputs."""

from __future__ import annotations

import hashlib
from pathlib import Path

NIFTI = (".nii.gz", ".nii")
ITK = (".nrrd", ".nhdr", ".mha", ".mhd")
PICTURE = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp")
HEIDELBERG = (".vol",)
DICOM = (".dcm", ".dicom", ".ima")
SEGMENTATION = ".seg.nrrd"
DICOM_SEGMENTATION = ".seg.dcm"
HEAT_MAP = "_anomaly"
"""What a heat map's name has before its suffix."""
SUPPORTED = (
    "NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd), a DICOM folder, Heidelberg OCT (.vol), "
    "PNG, TIFF, JPEG or BMP"
)

_LONGEST_NAME = 200
"""Bytes; file systems take 255, and outputs append up to 20."""

_NAMED = (SEGMENTATION, DICOM_SEGMENTATION, *NIFTI, *ITK, *PICTURE, *DICOM, *HEIDELBERG)


def file_format(path: Path) -> str:
    """Return "nifti", "itk", "picture", "dicom" or "heidelberg" by the file's name, or "" when it says nothing."""
    name = path.name.lower()
    for suffixes, kind in (
        (NIFTI, "nifti"),
        (ITK, "itk"),
        (PICTURE, "picture"),
        (DICOM, "dicom"),
        (HEIDELBERG, "heidelberg"),
    ):
        if name.endswith(suffixes):
            return kind
    return ""


def case_name(path: Path) -> str:
    """Return the name a case goes by: the file's name without its image suffix, or the folder's."""
    name = path.name or path.resolve().name
    for suffix in _NAMED:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def case_names(paths: list[Path], with_folders: bool = True) -> list[str]:
    """Return one different name per path, so that outputs of one run never overwrite each other.

    Equal names get the folder's name in front (`pat1_flair`, `pat2_flair`) if `with_folders`, then a number.
    Names too long for a file system to take with a suffix are cut and end in a digest.
    """
    names = [_bounded(case_name(path)) for path in paths]
    if with_folders:
        names = [_with_folder(name, path) if _repeated(name, names) else name for name, path in zip(names, paths)]
    unique: list[str] = []
    taken: set[str] = set()
    for name in names:
        candidate, n = name, 2
        while candidate.casefold() in taken:
            candidate, n = f"{name}_{n}", n + 1
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique


def _with_folder(name: str, path: Path) -> str:
    return _bounded(f"{path.resolve().parent.name}_{name}")


def _bounded(name: str) -> str:
    data = name.encode("utf-8", "surrogateescape")
    if len(data) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(data).hexdigest()[:8]
    return f"{data[: _LONGEST_NAME - 9].decode('utf-8', 'ignore')}-{digest}"


def _repeated(name: str, names: list[str]) -> bool:
    return sum(other.casefold() == name.casefold() for other in names) > 1


def is_dicom(path: Path) -> bool:
    """Tell whether a file is DICOM, by its name or by the mark at byte 128."""
    known = file_format(path)
    if known:
        return known == "dicom"
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False
