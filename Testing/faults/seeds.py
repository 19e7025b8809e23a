"""Small sound inputs, one or more for every format that the library reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import SimpleITK as sitk
from MIASSAMLib.volume_io import read_volume
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

SHAPE = (7, 12, 14)
SPACING = (0.9, 1.1, 2.5)


@dataclass(frozen=True)
class Seed:
    """A sound input: its files by name, which of them the user points at ("" = the folder), and what it holds.

    Attributes:
        is_checked: whether its voxels carry a checksum, so that any damage must be found.
    """

    name: str
    files: dict[str, bytes]
    entry: str
    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    is_checked: bool

    def write(self, folder: Path) -> Path:
        """Write the files and return what the user points at."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            (folder / name).write_bytes(data)
        return folder / self.entry if self.entry else folder


def voxels(kind: type = np.int16) -> np.ndarray:
    """Return (K, J, I) of whole numbers, all different from slice to slice."""
    grid = np.add.outer(np.arange(SHAPE[0]) * 37, np.add.outer(np.arange(SHAPE[1]) * 5, np.arange(SHAPE[2]) * 3))
    return ((grid + np.random.default_rng(0).integers(0, 9, SHAPE)) % 251).astype(kind)


def make_seeds(folder: Path) -> list[Seed]:
    """Write every seed once and read it back; each must be sound before it is damaged."""
    seeds = []
    for name, entry, write, is_checked in _recipes():
        place = folder / name
        place.mkdir(parents=True)
        write(place / entry if entry else place)
        files = {path.name: path.read_bytes() for path in sorted(place.iterdir())}
        volume = read_volume(place / entry if entry else place)
        seeds.append(Seed(name, files, entry, volume.voxels_kji, volume.ijk_to_ras, is_checked))
    return seeds


def _recipes() -> Iterator[tuple[str, str, Callable[[Path], None], bool]]:
    for suffix in (".nii", ".nii.gz"):
        is_checked = suffix == ".nii.gz"
        yield f"nifti1{suffix}", f"a{suffix}", lambda path: _nifti(path, nibabel.Nifti1Image, np.int16), is_checked
        yield f"nifti2{suffix}", f"a{suffix}", lambda path: _nifti(path, nibabel.Nifti2Image, np.float32), is_checked
    yield "scaled.nii.gz", "a.nii.gz", _scaled_nifti, True
    for suffix in (".nrrd", ".nhdr", ".mha", ".mhd"):
        yield f"raw{suffix}", f"a{suffix}", lambda path: _itk(path, False), False
        yield f"packed{suffix}", f"a{suffix}", lambda path: _itk(path, True), True
    for suffix in (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"):
        yield f"picture{suffix}", f"a{suffix}", _picture, suffix == ".png"
    yield "pages.tif", "a.tif", _pages, False
    yield "dicom", "", lambda path: _series(path, counted=False), False
    yield "dicom counted", "", lambda path: _series(path, counted=True), False
    yield "one.dcm", "a.dcm", lambda path: _slice(3, True).save_as(path, enforce_file_format=True), False
    yield "one.dicom", "a.dicom", lambda path: _slice(3, True).save_as(path, enforce_file_format=True), False
    yield "one.ima", "a.ima", lambda path: _slice(3, True).save_as(path, enforce_file_format=True), False


def _affine() -> np.ndarray:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    affine = np.eye(4)
    affine[:3, :3] = turn * SPACING
    affine[:3, 3] = (-10, 20, 30)
    return affine


def _nifti(path: Path, kind: type, stored: type) -> None:
    image = kind(voxels(stored).transpose(2, 1, 0), _affine())
    image.set_qform(_affine(), 1)
    image.set_sform(_affine(), 1)
    nibabel.save(image, path)


def _scaled_nifti(path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(np.int16).transpose(2, 1, 0), _affine())
    image.header.set_slope_inter(2.0, 5.0)
    nibabel.save(image, path)


def _itk(path: Path, is_packed: bool) -> None:
    image = sitk.GetImageFromArray(voxels())
    image.SetSpacing(SPACING)
    image.SetOrigin((1, 2, 3))
    sitk.WriteImage(image, str(path), is_packed)


def _picture(path: Path) -> None:
    from PIL import Image

    Image.fromarray(voxels(np.uint8).reshape(-1, SHAPE[2])).save(path)


def _pages(path: Path) -> None:
    from PIL import Image

    first, *rest = (Image.fromarray(page) for page in voxels(np.uint8))
    first.save(path, save_all=True, append_images=rest)


def _series(folder: Path, counted: bool) -> None:
    for k in range(SHAPE[0]):
        _slice(k, counted).save_as(folder / f"im_{k + 1:02d}.dcm", enforce_file_format=True)


def _slice(k: int, counted: bool) -> pydicom.Dataset:
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = f"1.2.3.4.{k + 1}"
    data.Modality, data.PatientName, data.PatientID = "MR", "Doe^Jane", "secret-id"
    data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(counted)])
    data.InstanceNumber, data.SeriesDescription = k + 1, "series"
    if counted:
        data.ImagesInAcquisition = SHAPE[0]
    data.ImagePositionPatient = [1.0, 2.0, 3.0 + SPACING[2] * k]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [SPACING[1], SPACING[0]]
    data.Rows, data.Columns, data.SamplesPerPixel = SHAPE[1], SHAPE[2], 1
    data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 0
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit = 15
    data.PixelData = voxels(np.uint16)[k].tobytes()
    return data
