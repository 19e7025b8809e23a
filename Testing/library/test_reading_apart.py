"""Reading in a child: what a reader does to a bad file ends the child, not the run."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import InputError
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import ReaderApart, apart, at_most, read_volume, write_volume

BAD_READER = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from MIASSAMLib.volume_io import apart
sound = apart.read_volume
def read_volume(path):
    name = os.path.basename(path)
    print("a library says something")
    os.system("echo and so does another")
    if "crash" in name: os.abort()
    if "hang" in name: time.sleep(60)
    if "flood" in name: bytearray(1 << 45)
    if "exit" in name: os._exit(3)
    return sound(path)
apart.read_volume = read_volume
apart.serve(*sys.argv[2:])
"""


def image(path: Path, side: int = 24) -> Path:
    voxels = np.random.default_rng(3).uniform(1, 100, (3, side, side)).astype(np.float32)
    ijk_to_ras = np.diag([1.0, 2.0, 3.0, 1.0])
    ijk_to_ras[:3, 3] = 5, -7, 11
    return write_volume(path, Volume(voxels, ijk_to_ras, "x", "mri"))


@pytest.fixture
def reader():
    reader = ReaderApart()
    yield reader
    reader.close()


@pytest.fixture
def bad_reader(monkeypatch):
    monkeypatch.setattr(apart, "_START", BAD_READER)


def test_a_volume_and_its_region_are_those_that_reading_here_gives(reader, tmp_path):
    path = image(tmp_path / "a.nii.gz")
    here = read_volume(path)
    region = (here.voxels_kji > 50).astype(np.float32)
    mask = write_volume(tmp_path / "mask.nii.gz", Volume(region, here.ijk_to_ras))
    there = reader.read(path, mask)
    np.testing.assert_array_equal(there.voxels_kji, here.voxels_kji)
    np.testing.assert_array_equal(there.ijk_to_ras, here.ijk_to_ras)
    np.testing.assert_array_equal(there.region_kji, region > 0)
    assert (there.name, there.modality, there.source, there.notes) == (
        here.name,
        here.modality,
        here.source,
        here.notes,
    )


def test_a_refusal_is_the_readers_own(reader, tmp_path):
    (tmp_path / "bad.nii.gz").write_bytes(b"no image")
    with pytest.raises(InputError) as there:
        reader.read(tmp_path / "bad.nii.gz")
    with pytest.raises(InputError) as here:
        read_volume(tmp_path / "bad.nii.gz")
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("name", "words"), [("crash", "signal 6"), ("exit", "code 3"), ("flood", "more memory than there is")]
)
def test_a_reader_that_dies_is_one_refusal_and_the_next_image_is_read(bad_reader, tmp_path, name, words):
    reader = ReaderApart()
    with pytest.raises(InputError, match=words):
        reader.read(image(tmp_path / f"{name}.nii.gz"))
    assert reader.read(image(tmp_path / "sound.nii.gz")).shape_kji == (3, 24, 24)
    reader.close()


def test_a_reader_that_hangs_is_stopped_and_leaves_nothing(bad_reader, tmp_path):
    reader = ReaderApart()
    assert reader.read(image(tmp_path / "sound.nii.gz")).shape_kji == (3, 24, 24)
    child, folder = reader._child, reader._folder
    reader._time_s = 0.5
    with pytest.raises(InputError, match="took more than"):
        reader.read(image(tmp_path / "hang.nii.gz"))
    assert child.poll() is not None and not folder.exists()


def test_a_killed_run_leaves_no_reader_and_no_folder(tmp_path):
    code = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from MIASSAMLib.volume_io import ReaderApart; "
        "from pathlib import Path; r = ReaderApart(); r.read(Path(sys.argv[2])); "
        "print(r._child.pid, r._folder, flush=True); time.sleep(60)"
    )
    root = str(Path(apart.__file__).parents[2])
    command = [sys.executable, "-c", code, root, str(image(tmp_path / "a.nii.gz"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        pid, folder = run.stdout.readline().split()
        run.kill()
    until = time.monotonic() + 30
    while time.monotonic() < until and (Path(folder).exists() or _lives(int(pid))):
        time.sleep(0.1)
    assert not Path(folder).exists() and not _lives(int(pid))


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_crash_in_a_batch_is_one_failed_row(bad_reader, tmp_path):
    from MIASSAMLib.cli import reading

    reading._reader_apart.cache_clear()
    inputs = [str(image(tmp_path / f"{name}.nii.gz")) for name in ("one", "crash", "two")]
    assert main(["segment", *inputs, "--output", str(tmp_path / "out")]) == 1
    with open(tmp_path / "out" / "cases.csv", encoding="utf-8-sig") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert [rows[name]["status"] for name in ("one", "crash", "two")] == ["done", "failed", "done"]
    assert "signal 6" in rows["crash"]["reason"]
    reading._reader_apart.cache_clear()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
def test_a_larger_image_than_allowed_is_refused_by_its_header(tmp_path, name):
    path = image(tmp_path / name)
    with at_most(3 * 24 * 24):
        assert read_volume(path).shape_kji == (3, 24, 24)
    with at_most(3 * 24 * 24 - 1), pytest.raises(InputError, match=r"expected 1 to 1727 in all \(--max-voxels\)"):
        read_volume(path)


@pytest.mark.parametrize("more", [["--isolate"], ["--no-isolate"]])
def test_the_command_line_bounds_images(tmp_path, more, capsys):
    words = ["segment", str(image(tmp_path / "a.nii.gz")), "--output", str(tmp_path / "out"), "--max-voxels", "100"]
    assert main([*words, *more]) == 1
    assert "expected 1 to 100 in all" in capsys.readouterr().out
