"""Names, inputs and outputs: what is found, what is guessed, and what is never lost."""

from __future__ import annotations

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.files import check_output_dir
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import (
    case_names,
    find_inputs,
    guess_modality,
    read_volume,
    write_markups,
    write_volume,
)

VOXELS = np.arange(480, dtype=np.float32).reshape(6, 8, 10)


def test_name_drops_the_whole_suffix(tmp_path):
    volume = Volume(VOXELS, np.eye(4))
    assert read_volume(write_volume(tmp_path / "pat.01.nii.gz", volume)).name == "pat.01"


def test_folder_expands_to_its_images_in_order(tmp_path):
    for name in ("b.nii.gz", "a.nrrd"):
        write_volume(tmp_path / name, Volume(VOXELS, np.eye(4)))
    for name in ("notes.txt", "._a.nrrd", "a.seg.nrrd"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in find_inputs([tmp_path])] == ["a.nrrd", "b.nii.gz"]
    assert len(find_inputs([tmp_path, tmp_path / "a.nrrd"])) == 2


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no image; expected NIfTI"):
        find_inputs([tmp_path])
    with pytest.raises(InputError, match="No such file"):
        find_inputs([tmp_path / "nowhere"])


def test_equal_names_of_two_patients_stay_apart():
    paths = [
        Path("/d/pat1/flair.nii.gz"),
        Path("/d/pat2/flair.nii.gz"),
        Path("/d/pat2/t1.nrrd"),
        Path("/d/pat2/T1.mha"),
    ]
    assert case_names(paths) == ["pat1_flair", "pat2_flair", "pat2_t1", "pat2_T1_2"]


def test_very_long_name_is_cut_but_stays_its_own():
    first, second = case_names([Path("/d") / ("脳" * 80 + "a.nrrd"), Path("/d") / ("脳" * 80 + "b.nrrd")])
    assert first != second and max(len(name.encode()) for name in (first, second)) <= 200
    assert first.startswith("脳" * 60)


def test_outputs_of_an_earlier_run_are_no_inputs(tmp_path):
    for name in ("a.nrrd", "a_anomaly.nii.gz", "a.seg.nrrd", "a.json", "a.png", "b.png", "b_anomaly.nii.gz"):
        (tmp_path / name).write_text("x")
    assert [path.name for path in find_inputs([tmp_path])] == ["a.nrrd", "b.png", "b_anomaly.nii.gz"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([-1000.0, 40, 300], "ct"), ([0.0, 128, 255], "oct"), ([0.0, 0.5, 2], "mri"), ([0.0, 900, 3000], "mri")],
)
def test_modality_is_guessed_from_the_values(values, expected):
    assert guess_modality(Volume(np.array(values, np.float32).reshape(1, 1, 3), np.eye(4))) == expected


def test_output_folder_is_checked_before_the_work(tmp_path):
    assert check_output_dir(tmp_path / "new" / "out").is_dir()
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=r"output folder .*file.* cannot be written: .*; choose a folder"):
        check_output_dir(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"):
        check_output_dir(tmp_path / "file" / "below")


def test_input_is_never_overwritten_by_an_output(tmp_path):
    check_output_dir(tmp_path, ["b.png"], [tmp_path / "a.png"])
    (tmp_path / "sub").mkdir()
    with pytest.raises(UsageError, match=r"a\.png is an input and would be overwritten; choose another output folder"):
        check_output_dir(tmp_path, ["b.png", "a.png"], [tmp_path / "sub" / ".." / "a.png"])


def test_failed_write_leaves_nothing_and_keeps_the_old_file(tmp_path, monkeypatch):
    path = write_markups(tmp_path / "a.mrk.json", [])
    before = path.read_bytes()

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(nibabel, "save", full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_volume(tmp_path / "b.nii.gz", Volume(VOXELS, np.eye(4)))
    assert sorted(os.listdir(tmp_path)) == ["a.mrk.json"] and path.read_bytes() == before
