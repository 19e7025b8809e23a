"""Segmenting on a cluster of processes writes what one process writes, even when a worker dies."""

from __future__ import annotations

import csv
import json
import logging
import os
import signal
import threading
import time

import nrrd
import numpy as np
import pytest
from library.distributed_helpers import GRID
from MIASSAMLib.cli import main
from MIASSAMLib.distributed import connect
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume_io import read_volume, write_volume

N_CASES = 3
TIMES = ("seconds", "timings_s", "summary")


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A bank, and the folder of what one process found in some cases; one cannot be read."""
    folder = tmp_path_factory.mktemp("ward")
    normals = [write_volume(folder / f"normal{s}.nii.gz", make_phantom("brain", s, 0, GRID).volume) for s in (1, 2)]
    (folder / "cases").mkdir()
    for number in range(N_CASES):
        write_volume(folder / "cases" / f"case{number}.nii.gz", make_phantom("brain", 6 + number, 1, GRID).volume)
    (folder / "cases" / "case1.nii.gz").write_bytes(b"no volume")
    words = ["bank", "build", *map(str, normals), "--output", str(folder / "a.bank"), "--json"]
    assert main(words) == 0
    assert segment(folder, "alone") == 1
    return folder


def segment(folder, output: str, *options: str) -> int:
    words = ["segment", str(folder / "cases"), "--bank", str(folder / "a.bank"), "--output", str(folder / output)]
    return main([*words, "--all-slices", "--slices", "1:3", "--json", *options])


def without_times(value):
    """Return a JSON value without what the clock wrote into it."""
    if isinstance(value, dict):
        return {key: without_times(item) for key, item in value.items() if key not in TIMES}
    return [without_times(item) for item in value] if isinstance(value, list) else value


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return [without_times(row) for row in csv.DictReader(file)]


def assert_same_run(alone, together):
    names = {path.name for path in alone.iterdir()}
    assert {path.name for path in together.iterdir()} == names
    assert sum(name.endswith(".seg.nrrd") for name in names) == N_CASES - 1
    for path in sorted(alone.iterdir()):
        other = together / path.name
        if path.name.endswith(".seg.nrrd"):
            (voxels, header), (others, other_header) = nrrd.read(str(path)), nrrd.read(str(other))
            assert voxels.any(), path.name
            np.testing.assert_array_equal(voxels, others, path.name)
            assert str(header) == str(other_header)
        elif path.name.endswith("_anomaly.nii.gz"):
            np.testing.assert_array_equal(read_volume(path).voxels_kji, read_volume(other).voxels_kji, path.name)
        elif path.suffix == ".json":
            records = [without_times(json.loads(one.read_text(encoding="utf-8"))) for one in (path, other)]
            assert records[0] == records[1], path.name
    assert [row["status"] for row in rows_of(alone / "cases.csv")].count("failed") == 1
    for row, other_row in zip(rows_of(alone / "cases.csv"), rows_of(together / "cases.csv"), strict=True):
        assert row == other_row


def test_local_workers_write_what_one_process_writes(ward):
    assert segment(ward, "local", "--dask", "local:2") == 1
    assert_same_run(ward / "alone", ward / "local")


def test_a_worker_killed_while_it_segments_changes_nothing(ward):
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with connect("local:2") as client:
        killed: list[int] = []
        thread = threading.Thread(target=kill_a_busy_worker, args=(client, killed))
        thread.start()
        assert segment(ward, "killed", "--dask", client.scheduler.address) == 1
        thread.join()
        assert killed and killed[0] not in client.run(os.getpid).values()
    assert_same_run(ward / "alone", ward / "killed")


def kill_a_busy_worker(client, killed, patience_s=120):
    """Kill the first worker that has a case to segment; note its process."""
    processes = client.run(os.getpid)
    end = time.monotonic() + patience_s
    while not killed and time.monotonic() < end:
        for address, keys in client.processing().items():
            if any("run_case_task" in str(key) for key in keys):
                killed.append(processes[address])
                os.kill(processes[address], signal.SIGKILL)
                return
        time.sleep(0.02)
