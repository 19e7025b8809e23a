"""DICOM folders: the right series, sorted by position, in the right place."""

from __future__ import annotations

import itertools
import shutil
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from MIASSAMLib.errors import InputError
from MIASSAMLib.volume_io import find_inputs, read_volume

_uids = itertools.count(1)
_STORAGE = {"MR": "1.2.840.10008.5.1.4.1.1.4", "CT": "1.2.840.10008.5.1.4.1.1.2"}
ROTATED = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])


def write_series(folder: Path, array, spacing=(0.7, 0.9, 2.5), directions=None, **options) -> str:
    """Write one file per slice, named against the order of positions; return the series UID.

    options: modality, description, tilt_mm (y step per slice), origin, skip (slices left out),
    intercept (rescale), start (number of the first file).
    """
    folder.mkdir(parents=True, exist_ok=True)
    directions = np.eye(3) if directions is None else directions
    origin = np.array(options.get("origin", (5.0, -6.0, 7.0)))
    uid = f"1.2.826.0.1.3680043.2.1125.{next(_uids)}"
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    for k in (k for k in range(len(array)) if k not in options.get("skip", ())):
        image = sitk.GetImageFromArray(array[k].astype(np.int16))
        image.SetSpacing(spacing[:2])
        position = origin + directions[:, 2] * spacing[2] * k + np.array([0, options.get("tilt_mm", 0.0) * k, 0])
        tags = {
            "0008|0016": _STORAGE[options.get("modality", "MR")],
            "0008|0018": f"{uid}.{k + 1}",
            "0008|0060": options.get("modality", "MR"),
            "0008|103e": options.get("description", "series"),
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": uid,
            "0020|0013": str(k + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.6f}" for value in directions[:, :2].T.ravel()),
            "0028|1052": str(options.get("intercept", 0)),
            "0028|1053": "1",
        }
        for key, value in tags.items():
            image.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"im_{options.get('start', 0) + 900 - k}.dcm"))
        writer.Execute(image)
    return uid


def _voxels(n=8, seed=0):
    return np.random.default_rng(seed).integers(0, 1000, (n, 12, 10)).astype(np.float32)


def test_series_is_sorted_by_position_and_lies_in_ras(tmp_path):
    array = _voxels()
    write_series(tmp_path / "scan", array, directions=ROTATED)
    volume = read_volume(tmp_path / "scan")
    np.testing.assert_array_equal(volume.voxels_kji, array)
    lps = np.eye(4)
    lps[:3, :3] = ROTATED * [0.7, 0.9, 2.5]
    lps[:3, 3] = [5, -6, 7]
    np.testing.assert_allclose(volume.ijk_to_ras, np.diag([-1, -1, 1, 1]) @ lps, atol=1e-4)
    assert (volume.name, volume.modality, volume.notes) == ("scan", "mri", ())


def test_rescale_gives_hounsfield_units(tmp_path):
    write_series(tmp_path, _voxels() - 1024, modality="CT", intercept=-1024)
    header = pydicom.dcmread(next(tmp_path.iterdir()))
    assert header.RescaleIntercept == -1024 and header.pixel_array.min() >= 0
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels_kji, _voxels() - 1024)
    assert volume.modality == "ct"


def test_tilted_gantry_gives_a_sheared_volume_in_the_right_place(tmp_path):
    write_series(tmp_path, _voxels(), tilt_mm=1.5)
    volume = read_volume(tmp_path)
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 2], [0, -1.5, 2.5], atol=1e-4)
    np.testing.assert_allclose(volume.ijk_to_ras_point([0, 0, 7]), [-5, 6 - 7 * 1.5, 7 + 7 * 2.5], atol=1e-4)


def test_longest_series_is_taken_and_the_others_are_noted(tmp_path):
    write_series(tmp_path, _voxels(3), description="localizer")
    write_series(tmp_path, _voxels(8, seed=1), description="FLAIR", start=2000)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.voxels_kji, _voxels(8, seed=1))
    assert "'FLAIR' with 8 slices; left out: 'localizer' with 3" in volume.notes[0]


def test_two_series_of_equal_length_are_refused_until_a_file_chooses(tmp_path):
    write_series(tmp_path, _voxels(4), description="before")
    write_series(tmp_path, _voxels(4, seed=1), description="after", start=2000)
    with pytest.raises(InputError, match=r"2 DICOM series and none is the longest.*give one file of the series"):
        read_volume(tmp_path)
    np.testing.assert_array_equal(read_volume(tmp_path / "im_2900.dcm").voxels_kji, _voxels(4, seed=1))


def test_missing_slice_is_refused(tmp_path):
    write_series(tmp_path, _voxels(), skip=(4,))
    with pytest.raises(InputError, match=r"5\.00 mm lie between DICOM slices 4 and 5; expected 2\.50 mm.*missing"):
        read_volume(tmp_path)


def test_several_volumes_in_one_series_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_uids", itertools.repeat(77))
    write_series(tmp_path, _voxels(4))
    write_series(tmp_path, _voxels(4, seed=1), start=2000)
    with pytest.raises(InputError, match="8 DICOM slices share 4 positions"):
        read_volume(tmp_path)


def set_tags(folder: Path, first: int, **values) -> None:
    """Set tags of the slices from a file number on."""
    for path in folder.iterdir():
        if int(path.stem[3:]) >= first:
            header = pydicom.dcmread(path)
            for keyword, value in values.items():
                setattr(header, keyword, value)
            header.save_as(path)


@pytest.mark.parametrize(
    ("tag", "first", "second", "words"),
    [
        ("EchoTime", 20, 90, "echo time 20.*; echo time 90"),
        ("DiffusionBValue", 0.0, 1000.0, "b-value 0.*; b-value 1000"),
        ("ImageType", ["ORIGINAL", "PRIMARY", "W"], ["ORIGINAL", "PRIMARY", "F"], "image type .*F.*; image type .*W"),
    ],
)
def test_of_several_volumes_in_a_series_a_file_names_the_one(tmp_path, monkeypatch, tag, first, second, words):
    from MIASSAMLib.volume_io.dicom import slice_files

    monkeypatch.setattr(sys.modules[__name__], "_uids", itertools.repeat(78))
    one, two = _voxels(4), _voxels(4, seed=1)
    write_series(tmp_path, one)
    write_series(tmp_path, two, start=2000)
    set_tags(tmp_path, 0, **{tag: first})
    set_tags(tmp_path, 2000, **{tag: second})
    with pytest.raises(InputError, match=f"8 DICOM slices share 4 positions.*{words}.*give one file"):
        read_volume(tmp_path)
    for path, voxels in ((tmp_path / "im_899.dcm", one), (tmp_path / "im_2900.dcm", two)):
        found = read_volume(path)
        np.testing.assert_array_equal(found.voxels_kji, voxels)
        assert found.notes[0].startswith("took the volume of") and found.notes[0].endswith("one of 2")
        assert path in slice_files(path) and len(slice_files(path)) == 4


def test_folder_of_other_files_is_no_series(tmp_path):
    (tmp_path / "broken.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 20)
    with pytest.raises(InputError, match="no readable DICOM series|cannot be read"):
        read_volume(tmp_path)


def test_dicom_folders_stay_one_input_each(tmp_path):
    write_series(tmp_path / "a", _voxels(3))
    write_series(tmp_path / "b", _voxels(3))
    assert find_inputs([tmp_path / "a"]) == [tmp_path / "a"]
    assert find_inputs([tmp_path]) == [tmp_path / "a", tmp_path / "b"]


def test_dicom_is_found_below_the_folders_of_a_disc(tmp_path):
    write_series(tmp_path / "DICOM" / "PA0" / "SE0", _voxels(3))
    write_series(tmp_path / "DICOM" / "PA0" / "SE1", _voxels(3))
    (tmp_path / "README.TXT").write_text("disc")
    assert [path.name for path in find_inputs([tmp_path])] == ["SE0", "SE1"]


def test_report_among_the_slices_is_passed_over(tmp_path):
    write_series(tmp_path, _voxels(4))
    report = pydicom.Dataset()
    report.SOPClassUID, report.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3.4"
    report.SeriesInstanceUID, report.Modality = "1.2.3", "SR"
    report.file_meta = pydicom.dataset.FileMetaDataset()
    report.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    report.file_meta.MediaStorageSOPClassUID, report.file_meta.MediaStorageSOPInstanceUID = (
        report.SOPClassUID,
        "1.2.3.4",
    )
    report.save_as(tmp_path / "report.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(read_volume(tmp_path).voxels_kji, _voxels(4))


def test_files_without_suffix_are_known_by_their_mark(tmp_path):
    write_series(tmp_path / "scan", _voxels())
    for number, file in enumerate(sorted((tmp_path / "scan").iterdir())):
        shutil.move(file, file.with_name(f"IM{number:06d}"))
    np.testing.assert_array_equal(read_volume(tmp_path / "scan").voxels_kji, _voxels())


def test_single_file_series_is_a_single_slice(tmp_path):
    write_series(tmp_path, _voxels(1))
    volume = read_volume(tmp_path)
    assert volume.shape_kji == (1, 12, 10) and volume.modality == "mri"
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 3], [-5, 6, 7], atol=1e-4)


def test_non_ascii_dicom_folder_is_read(tmp_path):
    write_series(tmp_path / "Größe 脳", _voxels())
    assert read_volume(tmp_path / "Größe 脳").shape_kji == (8, 12, 10)
