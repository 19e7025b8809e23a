"""How a run of the command line goes on, stops, and says what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import MIASSAMLib
import nrrd
import numpy as np
import pytest
from MIASSAMLib.cli import main
from MIASSAMLib.cli.doctor import examine
from MIASSAMLib.phantoms import Grid, make_phantom
from MIASSAMLib.volume_io import read_volume, write_volume

GRID = Grid.centered((1, 72, 64), (3.0, 3.0, 30.0))
ENVIRONMENT = os.environ | {"PYTHONPATH": str(Path(MIASSAMLib.__file__).parents[1])}


@pytest.fixture(scope="module")
def ward(tmp_path_factory) -> SimpleNamespace:
    """A bank of one head, three volumes in two folders, and what one process finds in them."""
    folder = tmp_path_factory.mktemp("ward")
    normal = write_volume(folder / "normal.nii.gz", make_phantom("brain", 1, 0, GRID).volume)
    for name, seed in (("one/flair", 6), ("two/flair", 7), ("two/other", 8)):
        (folder / name).parent.mkdir(exist_ok=True)
        write_volume(folder / f"{name}.nii.gz", make_phantom("brain", seed, 1, GRID).volume)
    bank = folder / "a.bank"
    assert main(["bank", "build", str(normal), "--preset", "paper", "--output", str(bank), "--json"]) == 0
    ward = SimpleNamespace(folder=folder, bank=bank, alone=folder / "alone")
    assert segment(ward, ward.alone) == 0
    return ward


def segment(ward, output: Path, *options: str, folders=("two",)) -> int:
    inputs = [str(ward.folder / name) for name in folders]
    return main(["segment", *inputs, "--bank", str(ward.bank), "--output", str(output), "--json", *options])


def rows_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def without_times(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    return [{key: text for key, text in row.items() if key not in ("seconds", "summary")} for row in rows]


def test_jobs_find_what_one_process_finds(ward, tmp_path):
    assert segment(ward, tmp_path / "out", "--jobs", "2") == 0
    for name in ("cases.csv", "lesions.csv", "slices.csv"):
        assert without_times(rows_in(tmp_path / "out" / name)) == without_times(rows_in(ward.alone / name)), name
    for path in ward.alone.glob("*.seg.nrrd"):
        np.testing.assert_array_equal(nrrd.read(str(path))[0], nrrd.read(str(tmp_path / "out" / path.name))[0])
    heats = [read_volume(folder / "other_anomaly.nii.gz").voxels_kji for folder in (ward.alone, tmp_path / "out")]
    np.testing.assert_allclose(*heats, atol=1e-5)


def test_resume_keeps_what_the_same_settings_found(ward, tmp_path):
    output = tmp_path / "out"
    assert segment(ward, output) == 0
    times = {path.name: path.stat().st_mtime_ns for path in output.glob("*.json")}
    (output / "other.png").unlink()
    assert segment(ward, output, "--resume") == 0
    again = {path.name: path.stat().st_mtime_ns for path in output.glob("*.json")}
    assert {name for name in times if times[name] != again[name]} == {"other.json", "other_cog.mrk.json"}
    assert len(rows_in(output / "cases.csv")) == 2
    assert segment(ward, output, "--resume", "--mask", "1") == 0
    assert all(path.stat().st_mtime_ns != again[path.name] for path in output.glob("*.json"))


def test_resume_segments_a_changed_input_again(ward, tmp_path):
    path, output = tmp_path / "in.nii.gz", tmp_path / "out"
    words = ["segment", str(path), "--bank", str(ward.bank), "--output", str(output), "--json", "--resume"]
    found = []
    for seed in (6, 7):
        write_volume(path, make_phantom("brain", seed, 1, GRID).volume)
        assert main(words) == 0
        found.append(json.loads((output / "in.json").read_text()))
    assert found[0]["source_sha256"] != found[1]["source_sha256"] and found[0]["slices"] != found[1]["slices"]


def test_no_paths_names_no_folder(ward, tmp_path):
    (ward.folder / "two" / "bad.nii.gz").write_bytes(b"no volume")
    try:
        assert segment(ward, tmp_path / "out", "--no-paths", folders=("one", "two")) == 1
    finally:
        (ward.folder / "two" / "bad.nii.gz").unlink()
    names = {row["case"] for row in rows_in(tmp_path / "out" / "cases.csv")}
    assert names == {"flair", "flair_2", "other", "bad"}
    texts = [path.read_text() for path in (tmp_path / "out").iterdir() if path.suffix in (".json", ".csv", ".html")]
    hidden = (str(ward.folder), ward.folder.name, "one_flair", "two_flair")
    assert texts and not any(name in text for name in hidden for text in texts)


def test_a_defect_in_one_volume_is_a_failed_row_that_names_its_log(ward, tmp_path, monkeypatch, capsys):
    from MIASSAMLib.method import Segmenter

    found = Segmenter.segment

    def broken(self, volume, *rest):
        if volume.name == "other":
            raise IndexError("index 7 is out of bounds")
        return found(self, volume, *rest)

    monkeypatch.setattr(Segmenter, "segment", broken)
    assert segment(ward, tmp_path / "out") == 1
    rows = {row["case"]: row for row in rows_in(tmp_path / "out" / "cases.csv")}
    assert rows["other"]["status"] == "failed" and len(rows) == 2
    (log,) = (tmp_path / "out").glob("miassam-error-*.log")
    assert str(log) in rows["other"]["reason"] and "Traceback" in log.read_text()
    assert "Traceback" not in capsys.readouterr().err


def test_an_unexpected_error_is_one_sentence_and_exit_code_3(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("MIASSAMLib.cli.doctor.examine", lambda: {}["missing"])
    assert main(["doctor"]) == 3
    (line,) = capsys.readouterr().err.splitlines()
    (log,) = tmp_path.glob("miassam-error-*.log")
    assert "unexpected KeyError" in line and str(log) in line and "Traceback" in log.read_text()


def test_a_missing_package_is_named_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "MIASSAMLib.api", None)
    monkeypatch.setitem(sys.modules, "rich", None)

    def lacking():
        raise ModuleNotFoundError("No module named 'faiss'", name="faiss")

    monkeypatch.setattr("MIASSAMLib.cli.doctor.examine", lacking)
    assert main(["doctor"]) == 1
    assert "the Python package of faiss is not installed; `miassam doctor`" in capsys.readouterr().err


def test_doctor_names_versions_devices_models_folders_and_memory(capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "Everything that is needed is installed." in said and "cpu" in said and "GB free" in said
    found = examine()
    assert found["packages"]["torch"] and found["models"]["embedded"] and not found["missing"]


def test_doctor_says_what_is_missing(monkeypatch, capsys):
    import importlib.util

    there = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "faiss" else there(name))
    assert main(["doctor"]) == 1
    assert "Not installed: faiss-cpu. Install with: pip install faiss-cpu" in capsys.readouterr().out


@pytest.mark.parametrize(("stop", "jobs"), [(signal.SIGINT, "1"), (signal.SIGTERM, "1"), (signal.SIGTERM, "2")])
def test_a_stopped_run_leaves_table_and_report_of_what_is_done(ward, tmp_path, stop, jobs):
    folder, output = tmp_path / "many", tmp_path / "out"
    folder.mkdir()
    for number in range(40):
        os.link(ward.folder / "two" / "other.nii.gz", folder / f"case{number:02d}.nii.gz")
    words = ["segment", str(folder), "--bank", str(ward.bank), "--output", str(output), "--jobs", jobs]
    process = subprocess.Popen(  # a shell's background job would start it without an interrupt handler
        [sys.executable, "-m", "MIASSAMLib", *words],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while process.poll() is None and not ((output / "cases.csv").is_file() and rows_in(output / "cases.csv")):
        time.sleep(0.1)
    process.send_signal(stop)
    said = process.communicate()[1].decode()
    assert process.returncode == 130 and "interrupted; what was finished is kept" in said, said
    assert "Traceback" not in said
    rows = rows_in(output / "cases.csv")
    assert 1 <= len(rows) < 40 and all(row["status"] == "done" for row in rows)
    assert f"{len(rows)} case" in (output / "report.html").read_text()
    assert not list(output.glob(".miassam-*"))


@pytest.mark.parametrize(
    "options", [("--axis", "axia"), ("--window", "bone"), ("--coreset-ratio", "7"), ("--preset", "refind")], ids=str
)
def test_a_mistyped_option_left_a_building_folder_that_blocked_the_next_build(options, ward, tmp_path):
    words = ["bank", "build", str(ward.folder / "normal.nii.gz"), "--output", str(tmp_path / "b.bank"), *options]
    try:
        assert main(words) == 2
    except SystemExit as refused:
        assert refused.code == 2
    assert not list(tmp_path.iterdir())


def test_a_min_lesion_size_reaches_the_method(ward, tmp_path):
    assert segment(ward, tmp_path / "out", "--min-lesion-ml", "0.5") == 0
    assert json.loads((tmp_path / "out" / "other.json").read_text())["min_volume_ml"] == 0.5
    assert segment(ward, tmp_path / "out", "--min-lesion-ml", "-1") == 2
