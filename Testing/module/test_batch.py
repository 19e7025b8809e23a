"""The batch run: exit codes, one row per case, a bad case does not stop the rest, no dialog."""

import csv
import json

import numpy as np
import pytest
import slicer

from .conftest import MODULE_FOLDER, addVolume, spots
from .test_logic import turned


@pytest.fixture
def noDialogs(monkeypatch):
    def open(*_arguments, **_options):
        raise AssertionError("a dialog was opened")

    for name in (
        "messageBox",
        "confirmOkCancelDisplay",
        "confirmYesNoDisplay",
        "errorDisplay",
        "infoDisplay",
        "warningDisplay",
    ):
        monkeypatch.setattr(slicer.util, name, open)


@pytest.fixture
def case(scene, tmp_path):
    """A volume file, oblique."""
    path = tmp_path / "in" / "patient.nrrd"
    path.parent.mkdir()
    slicer.util.saveNode(addVolume(ijkToRas=turned()), str(path))
    slicer.mrmlScene.Clear(0)
    return path


def run(logic, *words):
    from MIASSAMSlicerLib.batchRun import main

    return main(["--", *map(str, words)], logic)


def rows(folder):
    return list(csv.DictReader((folder / "cases.csv").open()))


def test_a_case_gives_its_files_and_a_row(logic, case, bank, tmp_path, noDialogs):
    out = tmp_path / "out"
    assert run(logic, case, "--bank", bank, "--output", out, "--mask", "3") == 0
    (row,) = rows(out)
    assert (row["case"], row["status"], row["n_lesions"], row["n_segmented_slices"]) == ("patient", "done", "2", "2")
    record = json.loads((out / "patient.json").read_text())
    assert record["request"]["options"]["mask"] == "3"
    segmentation = slicer.util.loadSegmentation(str(out / "patient.seg.nrrd"))
    volume = slicer.util.loadVolume(str(case))
    total = sum(
        slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, each, volume)
        for each in segmentation.GetSegmentation().GetSegmentIDs()
    )
    assert np.array_equal(total > 0, spots() > 150)
    heat = slicer.util.loadVolume(str(out / "patient_anomaly.nii.gz"))
    assert np.allclose(slicer.util.arrayFromVolume(heat), np.maximum(spots() - 100, 0) / 20)
    assert slicer.util.loadMarkups(str(out / "patient_cog.mrk.json")).GetNumberOfControlPoints() == 3


def test_a_bad_case_is_a_failed_row_and_the_rest_goes_on(logic, case, bank, tmp_path, noDialogs):
    broken = case.parent / "a_broken.nrrd"
    broken.write_text("this is no volume")
    out = tmp_path / "out"
    assert run(logic, case.parent, tmp_path / "missing.nii", "--bank", bank, "--output", out) == 1
    found = {row["case"]: row for row in rows(out)}
    assert found["a_broken"]["status"] == "failed" and found["a_broken"]["reason"]
    assert "is not there" in found["missing"]["reason"]
    assert found["patient"]["status"] == "done"


def test_wrong_use_is_told_apart(logic, case, bank, tmp_path, noDialogs, capsys):
    assert run(logic, case, "--bank", bank) == 2
    assert "--output" in capsys.readouterr().err
    assert run(logic, case, "--bank", tmp_path, "--output", tmp_path / "out") == 2
    assert run(logic, case, "--bank", bank, "--output", tmp_path / "out", "--slices", "x") == 2


def test_missing_packages_end_the_run_at_once(logic, case, bank, tmp_path, noDialogs, monkeypatch):
    from MIASSAMSlicerLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch"])
    assert run(logic, case, "--bank", bank, "--output", tmp_path / "out") == 2


def test_the_options_are_those_of_the_command_line(logic, bank, tmp_path):
    from MIASSAMSlicerLib.batchRun import parse

    options = parse(
        [
            "a.nii",
            "--bank",
            str(bank),
            "--output",
            str(tmp_path),
            "--prompt",
            "box",
            "--all-slices",
            "--slices",
            "2:5",
            "--sensitivity",
            "0.1",
            "--device",
            "cpu",
        ]
    )
    assert options.options == {"all_slices": True, "sensitivity": 0.1, "prompt": "box", "slices": [2, 5]}


def test_every_option_reaches_the_logic(logic, case, bank, tmp_path, monkeypatch):
    given = []
    segment = type(logic).segmentVolume

    def noted(self, volumeNode, path, **options):
        given.append({"bank": str(path), **{name: value for name, value in options.items() if name != "log"}})
        return segment(self, volumeNode, path, **options)

    monkeypatch.setattr(type(logic), "segmentVolume", noted)
    words = "--device cpu --model vit_b --checkpoint own.pth --preset paper --prompt max --mask 2 --sensitivity 0.2"
    words += " --modality ct --contrast flair --smooth-axis 5"
    assert run(logic, case, "--bank", bank, "--output", tmp_path / "out", *words.split()) == 0
    assert given == [
        {
            "bank": str(bank),
            "model": "vit_b",
            "device": "cpu",
            "checkpoint": "own.pth",
            "preset": "paper",
            "modality": "ct",
            "changes": "axis_sigma_mm=5.0,contrast=flair",
            "all_slices": False,
            "sensitivity": 0.2,
            "prompt": "max",
            "mask": "2",
        }
    ]


def test_a_dicom_folder_is_one_case_and_earlier_results_are_none(logic, bank, tmp_path, noDialogs):
    from library.test_volume_io_dicom import write_series

    write_series(tmp_path / "in" / "scan", spots(), directions=np.diag([1.0, -1.0, -1.0]))
    slicer.util.saveNode(addVolume(), str(tmp_path / "in" / "mixed" / "patient.nrrd"))
    slicer.mrmlScene.Clear(0)
    out = tmp_path / "in" / "mixed"
    for _ in range(2):  # the second time, the folder also holds what the first has written
        assert run(logic, tmp_path / "in" / "scan", out, "--bank", bank, "--output", out) == 0
        assert [(row["case"], row["n_lesions"]) for row in rows(out)] == [("scan", "2"), ("patient", "2")]


def test_json_gives_a_line_per_case_and_dask_is_refused(logic, case, bank, tmp_path, capsys, noDialogs):
    assert run(logic, case, "--bank", bank, "--output", tmp_path / "out", "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["case"] == "patient"
    assert run(logic, case, "--bank", bank, "--output", tmp_path / "out", "--dask", "local") == 2


def test_the_script_exits_with_the_code(host, monkeypatch):
    import runpy
    import sys

    from MIASSAMSlicerLib import batchRun

    codes = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    monkeypatch.setattr(sys, "argv", ["batch.py", "--", "x.nii"])
    monkeypatch.setattr(batchRun, "main", lambda words: 7 if words == ["--", "x.nii"] else 0)
    runpy.run_path(str(MODULE_FOLDER / "Scripts" / "batch.py"), run_name="__main__")
    assert codes == [7]
