"""A DICOM series: a folder of slices sorted by where they lie in the patient."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import DoubleArray
from ..errors import InputError
from .dicom_frames import ENHANCED, read_frames
from .dicom_volumes import VOLUME_TAGS, choose_volume, volumes_of
from .door import PACKED_AT_MOST, check_elements, check_file, check_geometry, check_name, check_size, in_words
from .formats import DICOM_SEGMENTATION, is_dicom
from .itk import ijk_to_lps, read_header, read_itk, refuse_series
from .raw import RawImage, flip_lps_ras, quiet_itk

_POSITION = "0020|0032"
_STORAGE_CLASS, _N_FRAMES = "0008|0016", "0028|0008"
_MODALITY = "0008|0060"
_FRAME = "0020|0052"
_DESCRIPTION = "0008|103e"
_MODALITIES = {"MR": "mri", "CT": "ct", "OPT": "oct", "OCT": "oct"}
_NUMBER = "0020|0013"
_COUNTS = ("0020|1002", "0020|1209", "0054|0081")
"""Images in acquisition, series related instances, number of slices."""
_UNEVEN_SHARE = 0.05
_MISSING_SHARE = 0.5
_SAME_PLACE_MM = 1e-3


@dataclass(frozen=True)
class _Series:
    uid: str
    files: tuple[str, ...]
    description: str
    note: str = ""


def read_dicom(path: Path) -> RawImage:
    """Read a folder's series with the most slices, or the series that the given file belongs to.

    Raises:
        InputError: no series, two series of equal length, several volumes in one series, or a gap.
    """
    folder = path if path.is_dir() else path.parent
    check_name(folder)
    for file in sorted(folder.iterdir()):
        if is_dicom(file):
            check_elements(file)
        elif path.is_dir() and not file.name.startswith(".") and not file.is_dir():
            check_file(file)
    with quiet_itk():
        chosen, found = _chosen(path)
        if chosen is None:
            return _one_file(path)
        notes = [chosen.note, "" if len(found) == 1 else _others(chosen, found)]
        return _read_series(chosen, (path if path.is_dir() else path.parent).name, tuple(filter(None, notes)))


def slice_files(path: Path) -> list[Path]:
    """Return the files of the series that `read_dicom` reads, in the order of the volume's slices.

    Raises:
        InputError: as `read_dicom`.
    """
    with quiet_itk():
        chosen, _ = _chosen(path)
        if chosen is None:
            return [path]
        headers = [read_header(Path(file)) for file in chosen.files]
    positions = _positions(headers)
    order = range(len(headers)) if positions is None else _order(headers[0], positions)
    return [Path(chosen.files[n]) for n in order]


def _chosen(path: Path) -> tuple[_Series | None, list[_Series]]:
    """Return the series, or volume of it, that a path stands for, None for none, and all series of its folder."""
    found = list_series(path if path.is_dir() else path.parent)
    chosen = _longest(found, path) if path.is_dir() else _series_of(path, found)
    return (chosen and _one_volume(chosen, path)), found


def _one_volume(series: _Series, path: Path) -> _Series:
    """Return a series of one volume as it is, and of several the one that a file belongs to."""
    headers = [read_header(Path(file)) for file in series.files]
    positions = _positions(headers)
    places = [] if positions is None else [tuple(place) for place in np.round(positions, 3).tolist()]
    if len(set(places)) == len(places):
        return series
    volumes = volumes_of([{key: _tag(header, key) for key in VOLUME_TAGS} for header in headers], places)
    words, numbers = choose_volume(volumes, series.files, path, len(set(places)))
    files, said = tuple(series.files[number] for number in numbers), series.description or series.uid
    return _Series(series.uid, files, f"{said}, {words}", f"took the volume of {words}, one of {len(volumes)}")


def list_series(folder: Path) -> list[_Series]:
    """Return the image series of a folder, longest first; reports and contours are passed over."""
    import SimpleITK as sitk

    found = []
    with in_words(folder.name):
        names = {
            uid: tuple(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder), uid))
            for uid in sitk.ImageSeriesReader.GetGDCMSeriesIDs(str(folder))
        }
    for uid, files in names.items():
        with suppress(InputError):
            found.append(_Series(uid, files, _tag(read_header(Path(files[0])), _DESCRIPTION)))
    return sorted(found, key=lambda series: (-len(series.files), series.uid))


def has_dicom(folder: Path) -> bool:
    """Tell whether a folder itself holds DICOM files."""
    return any(is_dicom(file) for file in sorted(folder.iterdir()) if _may_be_slice(file))


def _may_be_slice(file: Path) -> bool:
    return file.is_file() and not file.name.startswith(".") and not file.name.lower().endswith(DICOM_SEGMENTATION)


def dicom_folders(folder: Path) -> list[Path]:
    """Return the folders below (or this one) that hold DICOM files, in order; hidden ones are passed over."""
    if has_dicom(folder):
        return [folder]
    below = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [found for entry in below for found in dicom_folders(entry)]


def _longest(found: list[_Series], folder: Path) -> _Series:
    if not found:
        raise InputError(f"{folder.name}: the folder holds no readable DICOM series; expected one series of slices")
    if len(found) > 1 and len(found[0].files) == len(found[1].files):
        listed = "; ".join(f"'{series.description or series.uid}' ({Path(series.files[0]).name})" for series in found)
        raise InputError(
            f"{folder.name}: the folder holds {len(found)} DICOM series and none is the longest: {listed}; "
            "give one file of the series you want instead of the folder"
        )
    return found[0]


def _series_of(path: Path, found: list[_Series]) -> _Series | None:
    own = path.resolve()
    return next((series for series in found if own in {Path(file).resolve() for file in series.files}), None)


def _others(chosen: _Series, found: list[_Series]) -> str:
    left = ", ".join(f"'{s.description or s.uid}' with {len(s.files)}" for s in found if s.uid != chosen.uid)
    taken = f"'{chosen.description or chosen.uid}' with {len(chosen.files)}"
    return f"took the DICOM series {taken} slices; left out: {left}"


def _one_file(path: Path) -> RawImage:
    header = read_header(path)
    if _tag(header, _STORAGE_CLASS) in ENHANCED and _tag(header, _N_FRAMES) not in ("", "1"):
        return read_frames(path, _modality(header))
    raw = read_itk(path)
    return replace(raw, modality=_modality(header), frame_uid=_tag(header, _FRAME))


def _read_series(series: _Series, name: str, notes: tuple[str, ...]) -> RawImage:
    import SimpleITK as sitk

    if len(series.files) == 1:
        raw = _one_file(Path(series.files[0]))
        return replace(raw, notes=(*raw.notes, *notes))
    headers = [read_header(Path(file)) for file in series.files]
    refuse_series(headers[0].GetSize(), name)
    _check_headers(headers, series.files, name)
    positions = _positions(headers)
    order = list(range(len(headers))) if positions is None else _order(headers[0], positions)
    image = _load([series.files[n] for n in order], name)
    lps = ijk_to_lps(image)
    if positions is None:
        spacing_notes: tuple[str, ...] = ("the DICOM slices hold no position; the order of the file names was used",)
    else:
        lps, spacing_notes = _slice_geometry(lps, positions[order], name)
    _refuse_lost(headers, series.files, name)
    voxels = sitk.GetArrayFromImage(image)
    check_geometry(flip_lps_ras(lps), name)
    notes, frame_uid = (*notes, *spacing_notes), _tag(headers[0], _FRAME)
    return RawImage(voxels, flip_lps_ras(lps), _modality(headers[0]), notes, frame_uid=frame_uid)


def _check_headers(headers: list[Any], files: tuple[str, ...], name: str) -> None:
    """Refuse slices of different sizes or larger than their files.

    Raises:
        InputError: with what came.
    """
    sizes = {tuple(header.GetSize()[:2]) for header in headers}
    if len(sizes) > 1:
        raise InputError(
            f"{name}: its DICOM slices differ in size, {sorted(sizes)}; expected equal ones; export the series again"
        )
    check_size((*sizes.pop(), len(files)), 0, 0, name)
    for header, file in zip(headers, files):
        check_size(header.GetSize(), 1, PACKED_AT_MOST * check_file(Path(file)), Path(file).name)


def _refuse_lost(headers: list[Any], files: tuple[str, ...], name: str) -> None:
    """Refuse a series of which the slices' own numbers say that some are lost.

    Raises:
        InputError: with their numbers.
    """
    numbers = {int(text) for header in headers if (text := _tag(header, _NUMBER)).isdecimal()}
    counts = [int(text) for key in _COUNTS if (text := _tag(headers[0], key)).isdecimal()]
    last = max(counts, default=0) if numbers and max(numbers) <= max(counts, default=0) else max(numbers, default=0)
    lost = sorted(set(range(1, min(last, 2 * len(files)) + 1)) - numbers) if len(numbers) == len(files) else []
    if lost and min(numbers) <= len(files):
        raise InputError(
            f"{name}: DICOM slices {', '.join(map(str, lost[:5]))} of {last} are missing by their numbers; expected "
            "all; export the whole series again, or save the part you want as .nrrd"
        )


def _load(files: list[str], name: str) -> Any:
    import SimpleITK as sitk

    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(files)
    with in_words(name):
        return reader.Execute()


def _positions(headers: list[Any]) -> DoubleArray | None:
    """Return the slices' own positions in LPS mm, (N, 3), or None when they have none."""
    texts = [_tag(header, _POSITION) for header in headers]
    if not all(texts):
        return None
    with in_words(texts[0]):
        return np.array([[float(part) for part in text.split("\\")] for text in texts]).reshape(-1, 3)


def _order(header: Any, positions: DoubleArray) -> list[int]:
    """Return the order of the slices along their normal."""
    columns = ijk_to_lps(header)[:3, :3]
    normal = np.cross(columns[:, 0], columns[:, 1])
    return [int(n) for n in np.argsort(positions @ normal, kind="stable")]


def _slice_geometry(lps: DoubleArray, positions: DoubleArray, name: str) -> tuple[DoubleArray, tuple[str, ...]]:
    """Take the step between slices from the slices' own positions: right for a tilted gantry too.

    Raises:
        InputError: slices share a position, or one is missing.
    """
    lengths = np.linalg.norm(np.diff(positions, axis=0), axis=1)
    typical = float(np.median(lengths))
    if lengths.min() < _SAME_PLACE_MM:
        raise InputError(f"{name}: two DICOM slices lie within {_SAME_PLACE_MM} mm; export the series again")
    if lengths.max() > (1 + _MISSING_SHARE) * typical:
        at = int(np.argmax(lengths))
        raise InputError(
            f"{name}: {lengths[at]:.2f} mm lie between DICOM slices {at + 1} and {at + 2}; expected {typical:.2f} mm "
            "as elsewhere; a slice seems to be missing, so export the whole series again"
        )
    step = (positions[-1] - positions[0]) / (len(positions) - 1)
    off_mm = float(np.linalg.norm(positions - positions[0] - np.arange(len(positions))[:, None] * step, axis=1).max())
    lps = lps.copy()
    lps[:3, 2], lps[:3, 3] = step, positions[0]
    if off_mm > _UNEVEN_SHARE * typical:
        return lps, (f"DICOM slices are unevenly spaced, by up to {off_mm:.2f} mm; positions are approximate",)
    return lps, ()


def _modality(header: Any) -> str:
    return _MODALITIES.get(_tag(header, _MODALITY), "")


def _tag(header: Any, key: str) -> str:
    return str(header.GetMetaData(key)).strip() if header.HasMetaDataKey(key) else ""
