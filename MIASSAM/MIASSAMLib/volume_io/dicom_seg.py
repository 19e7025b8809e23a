"""Write labels as a DICOM Segmentation beside the series they were drawn on, through highdicom (extra `dicom`).

Patient and study are taken over from the series, as the standard wants; nothing else is, and no private tag.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..arrays import AnyArray
from ..errors import InputError, UsageError
from ..files import atomic_path
from ..volume import Volume
from .dicom import slice_files
from .formats import is_dicom
from .raw import flip_lps_ras
from .segmentation import MASS, Terminology, checked_labels

_TYPE_2 = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
    "StudyTime", "ReferringPhysicianName",
)  # fmt: skip
"""Must be there, but may be empty; anonymized series often lack them."""
_SERIES_NUMBER = 1000
_MAKER = "MIASSAM"


def check_dicom_seg(paths: Sequence[Path]) -> None:
    """Refuse what no DICOM Segmentation can be written of, before any work is done.

    Raises:
        UsageError: highdicom is not installed, or an input is no DICOM series.
    """
    if find_spec("highdicom") is None:
        raise UsageError("DICOM SEG needs the package highdicom: pip install 'miassam[dicom]'")
    if others := [path.name for path in paths if not path.is_dir() and not is_dicom(path)]:
        raise UsageError(
            f"DICOM SEG refers to the slices of a DICOM series, which {', '.join(others[:3])} is not; "
            "give DICOM folders, or leave the option away"
        )


def write_dicom_seg(
    path: Path | str,
    labels_kji: AnyArray,
    volume: Volume,
    names: Sequence[str] = ("Anomaly",),
    is_by_hand: bool = False,
    terminology: Terminology = MASS,
) -> Path:  # the last two say how a segment came about and what it is
    """Write labels (K, J, I) as a DICOM Segmentation that refers to the slices of `volume.source`.

    Raises:
        InputError: the series is not there any more, is another one, or lacks what a segmentation must refer to.
        UsageError: the place cannot be written.
    """
    from highdicom import UID
    from highdicom.seg import Segmentation

    labels = checked_labels(labels_kji, volume, names)
    sources = _sources(Path(volume.source), volume)
    segments = [_segment(number, name, is_by_hand, terminology) for number, name in enumerate(names, 1)]
    dataset = Segmentation(
        sources, _placed(labels, volume, sources), "BINARY", segments, UID(), _SERIES_NUMBER, UID(), 1,
        _MAKER, _MAKER, __version__, "none", content_label="ANOMALIES", content_description="Anomalies",
        pixel_measures=None if _n_frames(sources[0]) > 1 else _measures(volume),
    )  # fmt: skip
    dataset.SeriesDescription = "MIASSAM anomalies, research use only"
    with atomic_path(path, ".dcm") as temporary:
        dataset.save_as(temporary)
    return Path(path)


def _sources(path: Path, volume: Volume) -> list[Any]:
    """Return the headers of the series in the order of the volume's slices."""
    import pydicom

    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in slice_files(path)]
    shape = (sum(_n_frames(header) for header in headers), headers[0].get("Rows"), headers[0].get("Columns"))
    if shape != volume.shape_kji:
        raise InputError(
            f"{path.name} holds slices of shape {shape} and the volume has {volume.shape_kji}; give the series itself"
        )
    for header in headers:
        if not header.get("FrameOfReferenceUID"):
            raise InputError(
                f"{path.name}: the slices name no frame of reference (0020,0052), which a DICOM Segmentation needs; "
                "export the series again"
            )
        for keyword in _TYPE_2:
            if keyword not in header:
                setattr(header, keyword, "")
    return headers


def _n_frames(header: Any) -> int:
    return int(header.get("NumberOfFrames") or 1)


def _placed(labels: AnyArray, volume: Volume, sources: Sequence[Any]) -> Any:
    """Return labels one slice a source, or for a file of many frames with their place in the patient."""
    if _n_frames(sources[0]) == 1:
        return labels
    import highdicom

    kji_to_lps = flip_lps_ras(volume.ijk_to_ras)[:, [2, 1, 0, 3]]
    return highdicom.Volume(labels, kji_to_lps, "PATIENT", frame_of_reference_uid=sources[0].FrameOfReferenceUID)


def _segment(number: int, name: str, is_by_hand: bool, terminology: Terminology) -> Any:
    from highdicom import UID, AlgorithmIdentificationSequence
    from highdicom.seg import SegmentAlgorithmTypeValues, SegmentDescription
    from highdicom.sr import CodedConcept

    category, kind = (
        CodedConcept(value, scheme, meaning) for scheme, value, meaning in (terminology.category, terminology.type)
    )
    intelligence = CodedConcept("123110", "DCM", "Artificial Intelligence")
    algorithm = AlgorithmIdentificationSequence(_MAKER, intelligence, __version__)
    way = SegmentAlgorithmTypeValues.SEMIAUTOMATIC if is_by_hand else SegmentAlgorithmTypeValues.AUTOMATIC
    return SegmentDescription(number, name, category, kind, way, algorithm, UID(), name)


def _measures(volume: Volume) -> Any:
    from highdicom import PixelMeasuresSequence

    column_mm, row_mm, slice_mm = (float(f"{value:.7g}") for value in volume.spacing_mm)
    along_i, along_j, along_k = volume.ijk_to_ras[:3, :3].T
    normal = np.cross(along_i, along_j)
    between_mm = abs(float(along_k @ normal / np.linalg.norm(normal)))
    return PixelMeasuresSequence((row_mm, column_mm), slice_mm, float(f"{between_mm:.7g}"))
