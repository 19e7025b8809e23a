"""Runs from the panel: the window answers, Cancel works, and nothing is left behind."""

import os

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import addVolume
from .test_panel import segment


def test_the_button_cancels_and_nothing_is_left(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    ready.ui.segmentButton.click()
    assert ready.ui.segmentButton.text == "Cancel"
    waitFor(lambda: ready.ui.progressBar.value >= 1 and "Segmenting slices" in ready.ui.statusLabel.text)
    done = []
    monkeypatch.setattr(ready.jobs, "_onProgress", lambda stage, number, total: done.append(number))
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert len(done) <= 1, "no more than the slice that was under way is segmented after the click"
    assert ready.ui.segmentButton.text == "Segment anomalies"
    assert ready.ui.statusLabel.text == "Stopped. Nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert ready.jobs.worker.isRunning, "a worker that stops on request stays warm"


@pytest.mark.parametrize("deafness", ["asleep", "in a step that lets no other thread run"])
def test_a_worker_that_does_not_hear_is_ended(ready, monkeypatch, deafness):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "200")
    if deafness != "asleep":
        monkeypatch.setenv("FAKE_WORKER_DEAF", "1")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.jobs.worker.processId and ready.jobs._open.get("keys"))
    settle(0.3)
    process, folder = ready.jobs.worker.processId, ready.jobs.worker.session.folder
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy, 100, "the end of a worker whose slice takes 200 s")
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


class NotedSteps:
    """How many bytes each step of the panel's work has added to the exchange folder and to the heat map."""

    def __init__(self, panel, monkeypatch):
        from MIASSAMSlicerLib import heatMap, jobs

        self._panel, self.sent, self.states = panel, [], []
        plain = jobs.runInTurns
        monkeypatch.setattr(jobs, "runInTurns", lambda steps, *rest: plain(self._noted(steps), *rest))
        monkeypatch.setattr(heatMap, "STEP_VOXELS", STEP_VOXELS)

    def _noted(self, steps):
        while True:
            before = self._bytes()
            try:
                state = next(steps)
            except StopIteration as end:
                return end.value
            self.sent.append(self._bytes() - before)
            self.states.append(state)
            yield state

    def _bytes(self):
        folder = self._panel.jobs.worker.session.folder
        return sum(path.stat().st_size for path in folder.glob("*.npy"))


STEP_VOXELS = 400_000
HEADER_BYTES = 128


def test_a_run_is_sent_and_written_in_short_steps(panel, bank, monkeypatch):
    """From a cold start to the results on the screen, and in a second run, which replaces them."""
    from MIASSAMSlicerLib import workerSession

    voxels = np.full((60, 200, 200), 50, np.int16)
    voxels[30:40, 100:160, 20:90] = 200
    monkeypatch.setattr(workerSession, "STEP_BYTES", 400_000)
    addVolume(voxels)
    panel.initializeParameterNode()
    panel.parameters.bankPath = str(bank)
    noted = NotedSteps(panel, monkeypatch)
    segment(panel)
    assert max(noted.sent) <= 400_000 + HEADER_BYTES, "five slices of 80,000 bytes; one step has the header"
    assert sum(size > 0 for size in noted.sent) >= voxels.nbytes / 400_000
    assert noted.states.count("final") >= voxels.size / STEP_VOXELS, "the heat map, ten slices in each step"
    noted.sent.clear()
    noted.states.clear()
    segment(panel)
    waitFor(lambda: noted.states, what="the second run")
    waitFor(lambda: not panel.jobs.isBusy)
    assert max(noted.sent) <= 0, "the volume is not sent again"
    assert noted.states.count("final") >= voxels.size / STEP_VOXELS


def test_a_bank_is_sent_in_short_steps(panel, monkeypatch):
    from MIASSAMSlicerLib import workerSession
    from MIASSAMSlicerLib.buildBankDialog import BankDescription

    monkeypatch.setattr(workerSession, "STEP_BYTES", 400_000)
    volumes = [addVolume(np.full((60, 200, 200), 50, np.int16), name=f"Normal {n}") for n in range(3)]
    noted = NotedSteps(panel, monkeypatch)
    panel.actions._onBankDescribed(BankDescription(volumes, "First", "mri", "head"))
    waitFor(lambda: panel.parameters.bankPath)
    assert max(noted.sent) <= 400_000 + HEADER_BYTES and sum(size > 0 for size in noted.sent) == 3 * 12


def test_the_window_has_its_turn_between_two_steps(host, script):
    from MIASSAMSlicerLib.steps import runInTurns
    from PySide6 import QtCore

    seen = []

    def steps():
        for number in range(3):
            seen.append(number)
            QtCore.QTimer.singleShot(0, lambda: seen.append("window"))
            yield

    runInTurns(steps(), lambda isFinal: False, seen.append, seen.append, seen.append)
    waitFor(lambda: None in seen)
    assert seen == [0, "window", 1, "window", 2, "window", None]


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
