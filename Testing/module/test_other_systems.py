"""Windows and macOS, as far as Linux can show: order of start, consoles, locked files, paths, one OpenMP."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import slicer

from .conftest import FAKE_WORKER, MODULE_FOLDER, addVolume, spots

UNUSUAL = "Ämter und 医学 é'"
"""A folder name with blanks, quotes and letters of several alphabets, as user folders have."""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="/proc says what a process has open")
def test_no_library_can_peek_at_the_pipe_of_requests(tmp_path):
    """libgfortran looks at stdin when it loads; on Windows it would wait for the thread that reads (numpy#24290)."""
    folder = tmp_path / "exchange"
    folder.mkdir()
    command = [sys.executable, "-u", str(FAKE_WORKER), str(MODULE_FOLDER), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    ready = json.loads(process.stdout.readline())
    standardInput = os.readlink(f"/proc/{process.pid}/fd/0")
    process.stdin.write(b'{"id": 1, "verb": "hello", "arguments": {}}\n')
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    process.stdin.close()
    process.wait(timeout=100)
    assert ready["kind"] == "ready" and answer["kind"] == "result"
    assert standardInput == os.devnull


def test_macos_lets_a_second_openmp_load(monkeypatch):
    from MIASSAMLib.worker.__main__ import allow_second_openmp

    monkeypatch.setenv("KMP_DUPLICATE_LIB_OK", "")
    monkeypatch.delenv("KMP_DUPLICATE_LIB_OK")
    allow_second_openmp("linux")
    assert "KMP_DUPLICATE_LIB_OK" not in os.environ
    allow_second_openmp("darwin")
    assert os.environ["KMP_DUPLICATE_LIB_OK"] == "TRUE"


def test_the_child_of_scripts_opens_no_console_on_windows(script, monkeypatch, tmp_path):
    from MIASSAMSlicerLib import workerBlocking

    given = {}

    def refuse(command, **options):
        given.update(options)
        raise OSError("not started")

    monkeypatch.setattr(workerBlocking, "childOptions", lambda: {"creationflags": 0x08000000})
    monkeypatch.setattr(workerBlocking.subprocess, "Popen", refuse)
    with pytest.raises(OSError, match="not started"):
        workerBlocking.BlockingWorker().call("hello", {})
    assert given["creationflags"] == 0x08000000


def test_a_bank_that_is_replaced_is_let_go_first(tmp_path, monkeypatch):
    """Windows replaces no folder of which a file is memory-mapped."""
    from MIASSAMLib.worker import banks
    from MIASSAMLib.worker.engine import Engine

    engine, held = Engine(tmp_path), []
    engine._segmenters, engine._readings = {("a.bank",): object()}, {("volume",): object()}
    monkeypatch.setattr(Engine, "_model", lambda self, arguments, call: None)
    monkeypatch.setattr(
        banks, "build_sample_bank", lambda *_arguments: held.append((engine._segmenters, engine._readings)) or {}
    )
    engine.build_sample_bank({"output": "a.bank"}, None)
    assert held == [({}, {})]


def test_unusual_and_long_paths(script, scene, monkeypatch, tmp_path):
    """Exchange folder, bank and batch words with letters outside ASCII, and paths beyond 200 characters."""
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    from .conftest import fakeWorkerCommand

    folder = tmp_path / UNUSUAL / ("long" * 12) / ("longer" * 12)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 170
    monkeypatch.setattr(slicer.app, "temporaryPath", str(folder), raising=False)
    bank = folder / f"{UNUSUAL}.bank"
    with BlockingWorker(fakeWorkerCommand) as worker:
        logic = script.MIASSAMLogic(worker)
        volume = addVolume(name=UNUSUAL)
        assert Path(logic.buildMemoryBank([volume], bank)["path"]) == bank
        results = logic.segmentVolume(volume, bank)
        assert str(worker.session.folder).startswith(str(folder))
    found = sum(slicer.util.arrayFromSegmentBinaryLabelmap(results.segmentation, each, volume)
                for each in results.segmentation.GetSegmentation().GetSegmentIDs())  # fmt: skip
    assert np.array_equal(found > 0, spots() > 150)
    assert results.segmentation.GetName() == f"{UNUSUAL} anomalies"
