"""Runs from the panel: the window answers, Cancel works, and nothing is left behind."""

import os
import time

import numpy as np
import pytest
import slicer
from slicer_host.events import BlockMeter, fairClock, settle, waitFor

from .conftest import addVolume
from .test_panel import segment

LONGEST_BLOCK_S = 0.2


def test_the_button_cancels_and_nothing_is_left(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    ready.ui.segmentButton.click()
    assert ready.ui.segmentButton.text == "Cancel"
    waitFor(lambda: ready.ui.progressBar.value >= 1 and "Segmenting slices" in ready.ui.statusLabel.text)
    start = fairClock()
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert fairClock() - start < 2.0
    assert ready.ui.segmentButton.text == "Segment anomalies"
    assert ready.ui.statusLabel.text == "Stopped. Nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert ready.jobs.worker.isRunning, "a worker that stops on request stays warm"


@pytest.mark.parametrize("deafness", ["asleep", "in a step that lets no other thread run"])
def test_a_worker_that_does_not_hear_is_ended_within_two_seconds(ready, monkeypatch, deafness):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "200")
    if deafness != "asleep":
        monkeypatch.setenv("FAKE_WORKER_DEAF", "1")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.jobs.worker.processId and ready.jobs._open.get("keys"))
    settle(0.3)
    process, folder = ready.jobs.worker.processId, ready.jobs.worker.session.folder
    start = fairClock()
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert fairClock() - start < 2.0
    assert not folder.exists()
    assert not isAlive(process)


def isAlive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_that_dies_is_reported_and_started_anew(ready, quietDialogs, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "200")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.jobs._open.get("keys"))
    os.kill(ready.jobs.worker.processId, 9)
    waitFor(lambda: not ready.jobs.isBusy)
    assert "ended unexpectedly" in quietDialogs[0]
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0")
    segment(ready)


def test_closing_the_module_ends_the_worker(host, ready):
    segment(ready)
    process, folder = ready.jobs.worker.processId, ready.jobs.worker.session.folder
    host.closeWidget("MIASSAM")
    assert not folder.exists()
    assert not isAlive(process)


def longestBlock(prepare, work):
    """Return the longest block of the best of three tries: a machine short of memory stalls once in a while."""
    longest = []
    for _ in range(3):
        prepare()
        with BlockMeter() as meter:
            work()
        longest.append(meter.longest)
        if longest[-1] < LONGEST_BLOCK_S:
            break
    return min(longest)


@pytest.mark.parametrize("shape", [(155, 240, 240), (220, 512, 512)], ids=["head", "chest"])
def test_the_window_answers_during_a_run(panel, bank, monkeypatch, shape):
    """From a cold start to the results on the screen, and in a second run, which replaces them."""
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.001")
    voxels = np.full(shape, 50, np.int16)
    voxels[70:90, 100:160, 20:90] = 200

    def prepare():
        panel.jobs.close()
        slicer.mrmlScene.Clear(0)
        addVolume(voxels)
        panel.initializeParameterNode()
        panel.parameters.bankPath = str(bank)
        settle(0.2)

    def work():
        for _ in range(2):
            segment(panel)
            settle(0.1)

    longest = longestBlock(prepare, work)
    assert longest < LONGEST_BLOCK_S, f"the event loop was blocked for {longest:.3f} s"


def test_the_window_answers_while_a_bank_is_sent(panel, tmp_path):
    from MIASSAMSlicerLib.buildBankDialog import BankDescription

    volumes = [addVolume(np.full((155, 240, 240), 50, np.int16), name=f"Normal {n}") for n in range(3)]
    names = iter(("First", "Second", "Third"))

    def prepare():
        panel.parameters.bankPath = ""

    def work():
        panel.actions._onBankDescribed(BankDescription(volumes, next(names), "mri", "head"))
        waitFor(lambda: panel.parameters.bankPath)

    longest = longestBlock(prepare, work)
    assert longest < LONGEST_BLOCK_S, f"the event loop was blocked for {longest:.3f} s"


@pytest.mark.parametrize("work", ["computing", "sleeping"])
def test_the_meter_sees_a_blocked_window(host, work):
    from PySide6 import QtCore

    def block():
        end = fairClock() + 0.3
        while fairClock() < end:
            if work == "sleeping":
                time.sleep(0.05)

    with BlockMeter() as meter:
        QtCore.QTimer.singleShot(20, block)
        settle(1.0)
    assert meter.longest > LONGEST_BLOCK_S


@pytest.mark.parametrize("step", ["sending the volume", "segmenting"])
def test_an_answer_that_overtakes_the_cancel_is_dropped(ready, monkeypatch, step):
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    monkeypatch.setattr(ready.jobs.worker, "cancel", lambda number: None)
    ready.ui.segmentButton.click()
    if step == "segmenting":
        waitFor(lambda: ready.jobs._open["keys"])
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.ui.statusLabel.text == "Stopped. Nothing was changed.")
    settle()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert not list(ready.jobs.worker.session.folder.glob("*.npy"))


def test_closing_the_scene_during_a_run_leaves_nothing(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.ui.progressBar.value >= 1)
    slicer.mrmlScene.Clear(0)
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


def test_closing_the_scene_while_results_are_written_leaves_nothing(ready, monkeypatch):
    from MIASSAMSlicerLib import heatMap

    written = []
    monkeypatch.setattr(heatMap, "shownRange", lambda *_arguments: written.append(1) or (1.0, 2.0))
    ready.ui.segmentButton.click()
    waitFor(lambda: written, what="the results being written")
    slicer.mrmlScene.Clear(0)
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    for kind in ("vtkMRMLSegmentationNode", "vtkMRMLMarkupsFiducialNode", "vtkMRMLScalarVolumeNode"):
        assert not slicer.util.getNodesByClass(kind)


def test_a_full_disk_is_told_and_the_panel_is_usable(ready, quietDialogs, monkeypatch):
    from MIASSAMSlicerLib.workerSession import WorkerSession

    def full(self, stem, array):
        raise OSError(28, "No space left on device")
        yield

    with monkeypatch.context() as broken:
        broken.setattr(WorkerSession, "saveArraySteps", full)
        ready.ui.segmentButton.click()
        waitFor(lambda: quietDialogs)
    assert "No space left on device" in quietDialogs[0] and "disk space" in quietDialogs[0]
    segment(ready)
