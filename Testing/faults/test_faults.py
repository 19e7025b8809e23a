"""A sample of the campaigns of `make test-faults`, and the faults they found, each by name."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from MIASSAMLib.errors import InputError
from MIASSAMLib.files import held_alone
from MIASSAMLib.volume_io import formats, read_volume

from .banks import try_banks
from .inputs import is_own_sentence, try_inputs
from .seeds import make_seeds
from .worker import try_messages


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return make_seeds(tmp_path_factory.mktemp("faults") / "seeds")


def test_every_suffix_that_is_read_has_a_seed(seeds):
    entries = [seed.entry for seed in seeds]
    suffixes = (*formats.NIFTI, *formats.ITK, *formats.PICTURE, *formats.DICOM)
    assert [suffix for suffix in suffixes if not any(entry.endswith(suffix) for entry in entries)] == []
    assert "" in entries  # a folder of DICOM slices


def test_damaged_inputs_are_refused_in_words_or_sound(seeds, tmp_path):
    counts, failures = try_inputs(seeds, 200, 0, tmp_path)
    assert failures == [] and counts["refused"] > 70 and counts["sound"] > 50


def test_a_worker_answers_what_is_no_request_and_lives_on(tmp_path):
    counts, failures = try_messages(61, 0, tmp_path)
    assert failures == [] and counts["answered"] == 61


def test_damaged_banks_are_refused_in_words_or_sound(tmp_path):
    counts, failures = try_banks(60, 0, tmp_path)
    assert failures == [] and counts["refused"] > 40 and counts["sound"] > 0


@pytest.mark.parametrize("name", ["nifti1.nii.gz", "packed.nrrd", "packed.mha"])
def test_bug_the_checksum_of_packed_voxels_was_never_reached(seeds, tmp_path, name):
    (seed,) = (each for each in seeds if each.name == name)
    path = seed.write(tmp_path)
    data = bytearray(path.read_bytes())
    data[-2 if name == "packed.mha" else -6] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="checksum"):
        read_volume(path)


@pytest.mark.parametrize("lost", [0, -1])
def test_bug_a_series_that_lost_its_first_or_last_slice_was_taken(seeds, tmp_path, lost):
    (seed,) = (each for each in seeds if each.name == "dicom counted")
    path = seed.write(tmp_path / "series")
    sorted(path.iterdir())[lost].unlink()
    with pytest.raises(InputError, match="missing by their numbers"):
        read_volume(path)


def test_bug_an_infinite_sform_hung_the_run(seeds, tmp_path):
    (seed,) = (each for each in seeds if each.name == "nifti1.nii.gz")
    raw = bytearray(gzip.decompress(seed.files[seed.entry]))
    raw[280:284] = np.float32(np.inf).tobytes()
    raw[252:254] = bytes(2)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(InputError, match="cannot be") as refused:
        read_volume(path)
    assert is_own_sentence(str(refused.value))


def test_voxels_outside_the_headers_folder_are_refused(seeds, tmp_path):
    (seed,) = (each for each in seeds if each.name == "raw.mhd")
    path = seed.write(tmp_path / "in")
    (tmp_path / "in" / "a.raw").rename(tmp_path / "a.raw")
    path.write_text(path.read_text().replace("a.raw", "../a.raw"))
    with pytest.raises(InputError, match="outside its folder"):
        read_volume(path)


def test_one_run_at_a_time_writes_into_a_folder(tmp_path):
    with held_alone(tmp_path):
        code = f"from MIASSAMLib.files import held_alone\nwith held_alone({str(tmp_path)!r}): pass"
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
        assert "another run writes into" in said
    with held_alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def _has_ended(process: int) -> bool:
    """Tell whether a process is gone, or waits only for somebody to take note of its end."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def test_a_worker_ends_with_the_process_that_started_it_though_its_pipe_stays_open(tmp_path):
    folder = tmp_path / "exchange"
    folder.mkdir()
    reading, writing = os.pipe()
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-m', 'MIASSAMLib.worker', {str(folder)!r}], stdin={reading},"
        f" stdout=subprocess.PIPE, pass_fds=({reading},))\n"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, pass_fds=(reading,))
    worker = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    end = time.monotonic() + 5
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.1)
    os.close(reading)
    os.close(writing)
    assert not folder.exists()
    while not _has_ended(worker) and time.monotonic() < end + 5:
        time.sleep(0.1)
    assert _has_ended(worker)
