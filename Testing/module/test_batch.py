"""The batch run: the command line's own files, its exit codes, and an application that always ends."""

import csv
import json
import runpy
import subprocess
import sys

import pytest
import slicer

from .conftest import MODULE_FOLDER, addVolume


@pytest.fixture
def exits(monkeypatch):
    codes = []
    monkeypatch.setattr(slicer.util, "exit", codes.append)
    return codes


@pytest.fixture
def commandLine(script, monkeypatch):
    """What the command line was asked, instead of running it."""
    from MIASSAMSlicerLib import batchRun

    asked = []
    monkeypatch.setattr(batchRun, "runCommandLine", lambda words: asked.append(words) or 1)
    return asked


def test_the_words_go_to_miassam_segment_and_its_exit_code_comes_back(commandLine, exits):
    from MIASSAMSlicerLib.batchRun import runAndExit

    runAndExit(["--", "a.nii", "--bank", "B.bank", "--output", "out", "--device", "cpu"])
    assert commandLine == [["segment", "a.nii", "--bank", "B.bank", "--output", "out", "--device", "cpu"]]
    assert exits == [1]


def test_missing_packages_end_the_run_at_once(commandLine, exits, monkeypatch, capsys):
    from MIASSAMSlicerLib import batchRun, dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch"])
    batchRun.runAndExit(["a.nii"])
    assert (commandLine, exits) == ([], [2])
    assert "torch" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ValueError("a bug"), PermissionError(13, "cases.csv is open in a spreadsheet")])
def test_slicer_ends_whatever_goes_wrong(script, exits, monkeypatch, error):
    """After ``--python-script`` fails Slicer does not exit by itself; a batch machine would wait for ever."""
    from MIASSAMSlicerLib import batchRun

    def fail(words):
        raise error

    monkeypatch.setattr(batchRun, "runCommandLine", fail)
    batchRun.runAndExit(["a.nii"])
    assert exits in ([1], [2])


def test_the_script_runs_it(script, exits, commandLine, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["batch.py", "--", "x.nii"])
    runpy.run_path(str(MODULE_FOLDER / "Scripts" / "batch.py"), run_name="__main__")
    assert (commandLine, exits) == ([["segment", "x.nii"]], [1])


def test_no_console_window_opens_on_windows(script, monkeypatch):
    from MIASSAMSlicerLib import workerSession

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(subprocess, "CREATE_NO_WINDOW", 0x08000000, raising=False)
    assert workerSession.childOptions() == {"creationflags": 0x08000000}


def test_wrong_use_is_told_by_the_command_line(script, exits, capfd):
    from MIASSAMSlicerLib.batchRun import runAndExit

    runAndExit(["a.nii"])
    assert exits == [2]


def test_files_and_table_are_the_command_lines(scene, worker, smallBank, tmp_path, exits):
    """A real run in a child process: the schema of X.json and cases.csv is that of ``miassam segment``."""
    from MIASSAMLib.outputs import CASE_FILES
    from MIASSAMSlicerLib import samples
    from MIASSAMSlicerLib.batchRun import runAndExit

    slicer.util.saveNode(samples.loadSample(worker, samples.SAMPLES[0]), str(tmp_path / "case.nrrd"))
    (tmp_path / "broken.nrrd").write_text("this is no volume")
    out = tmp_path / "out"
    inputs = [str(tmp_path / "case.nrrd"), str(tmp_path / "broken.nrrd")]
    runAndExit(["--", *inputs, "--bank", str(smallBank), "--output", str(out), "--slices", "8:10"])
    assert exits == [1], "one failed"
    rows = {row["case"]: row for row in csv.DictReader((out / "cases.csv").open(encoding="utf-8"))}
    assert rows["case"]["status"] == "done" and rows["broken"]["status"] == "failed" and rows["broken"]["reason"]
    record = json.loads((out / "case.json").read_text(encoding="utf-8"))
    assert {"case", "source", "notice", "lesions", "slices", "timings_s", "notes"} <= set(record)
    assert all((out / f"case{ending}").is_file() for ending in CASE_FILES)
    assert slicer.util.loadSegmentation(str(out / "case.seg.nrrd")) is not None


def test_a_volume_saved_by_slicer_is_read_as_slicer_read_it(scene, tmp_path):
    """The batch reads files by the library: geometry and voxels are those of Slicer's own reader."""
    import numpy as np
    from MIASSAMLib.volume_io import read_volume
    from MIASSAMSlicerLib.volumes import ijkToWorld

    from .test_logic import turned

    node = addVolume(ijkToRas=turned(flips=(-1, 1, 1)))
    slicer.util.saveNode(node, str(tmp_path / "v.nrrd"))
    volume = read_volume(tmp_path / "v.nrrd")
    assert np.allclose(volume.ijk_to_ras, ijkToWorld(node), atol=1e-4)
    assert np.array_equal(volume.voxels_kji, slicer.util.arrayFromVolume(node))
