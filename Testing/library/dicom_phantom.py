"""A phantom as a DICOM series, with a patient, a frame of reference and private tags, through pydicom."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pydicom
from MIASSAMLib.volume import Volume
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

PRIVATE_WORDS = "the name of somebody"


def write_dicom(folder: Path, volume: Volume) -> Path:
    """Write a volume (right angles) as one MR file per slice along k, named in no order of theirs."""
    folder.mkdir(parents=True)
    lps = np.diag([-1.0, -1, 1, 1]) @ volume.ijk_to_ras
    spacing = volume.spacing_mm
    directions = lps[:3, :3] / spacing
    voxels = np.round(volume.voxels_kji).astype(np.int16)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    for k, pixels in enumerate(voxels):
        one = pydicom.Dataset()
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, generate_uid()
        one.file_meta.MediaStorageSOPClassUID, one.file_meta.MediaStorageSOPInstanceUID = (
            MRImageStorage,
            one.SOPInstanceUID,
        )
        one.PatientID, one.PatientName, one.StudyID, one.StudyDate = "P-17", "Phantom^Oblique", "S1", "20260102"
        one.SeriesInstanceUID, one.StudyInstanceUID, one.FrameOfReferenceUID = series, study, frame
        one.Modality, one.SeriesDescription, one.InstanceNumber = "MR", "flair", k + 1
        one.Rows, one.Columns = pixels.shape
        one.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        one.SliceThickness = float(spacing[2])
        one.ImagePositionPatient = [float(f"{value:.8g}") for value in lps[:3, 3] + k * lps[:3, 2]]
        one.ImageOrientationPatient = [float(f"{value:.8g}") for value in directions[:, :2].T.ravel()]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelData = pixels.tobytes()
        one.private_block(0x0011, "MAKER", create=True).add_new(1, "LO", PRIVATE_WORDS)
        one.save_as(folder / f"{(7 * k) % len(voxels):03d}.dcm", enforce_file_format=True)
    return folder


def write_enhanced(path: Path, folder: Path, order: list[int]) -> Path:
    """Convert a series to one enhanced multi-frame file by highdicom, then put its frames into another order."""
    slices = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    for one in slices:
        one.remove_private_tags()
        words = {"ImageType": ["ORIGINAL", "PRIMARY"], "BurnedInAnnotation": "NO", "Manufacturer": "MAKER"}
        words |= {"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US", "BodyPartExamined": "HEAD"}
        words |= {"AcquisitionDate": "20260102", "AcquisitionTime": "1000"}
        empty = ("AccessionNumber", "StudyTime", "PatientBirthDate", "PatientSex", "ReferringPhysicianName")
        for keyword, value in {**words, **dict.fromkeys(empty, "")}.items():
            setattr(one, keyword, value)
    whole = highdicom.legacy.LegacyConvertedEnhancedMRImage(slices, generate_uid(), 1, generate_uid(), 1)
    frames = list(whole.PerFrameFunctionalGroupsSequence)
    pixels = np.frombuffer(whole.PixelData, np.int16).reshape(len(slices), whole.Rows, whole.Columns)
    whole.PerFrameFunctionalGroupsSequence = [frames[n] for n in order]
    whole.PixelData = pixels[order].tobytes()
    whole.save_as(path)
    return path
