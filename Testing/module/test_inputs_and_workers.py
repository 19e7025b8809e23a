"""What is taken as input, what the worker is told to forget, and what happens where a part is missing."""

import unittest

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import addVolume, spots
from .test_exclusion_masks import addLabelMap
from .test_panel import segment

# Inputs


def test_the_first_volume_is_no_label_map_and_no_heat_map(panel, bank):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    panel.initializeParameterNode()
    assert panel.parameters.inputVolume is None
    volume = addVolume()
    panel.initializeParameterNode()
    assert panel.parameters.inputVolume is volume


def test_a_heat_map_is_neither_listed_nor_taken_as_input(ready):
    from MIASSAMSlicerLib.errors import ModuleError
    from MIASSAMSlicerLib.volumes import checkVolume

    segment(ready)
    assert ready.ui.inputSelector.nodeCount() == 1
    with pytest.raises(ModuleError, match="heat map"):
        checkVolume(ready.results.heat)
    with pytest.raises(ModuleError, match="label map"):
        checkVolume(addLabelMap(np.ones((2, 3, 4), np.uint8), np.eye(4)))


# The worker


def openVolumes(panel):
    """Return which volumes the worker holds."""
    answers = []
    panel.jobs.worker.ask("hello", {}, answers.append)
    waitFor(lambda: answers)
    return answers[0]["volumes"]


def test_an_edited_volume_is_closed_in_the_worker(ready):
    segment(ready)
    for value in (180, 190):
        brighter = np.where(spots() > 100, value, 50).astype(np.float32)
        slicer.util.updateVolumeFromArray(ready.parameters.inputVolume, brighter)
        segment(ready)
    assert len(openVolumes(ready)) == 1


def test_a_deleted_volume_and_a_closed_scene_are_closed_in_the_worker(ready, bank):
    segment(ready)
    slicer.mrmlScene.RemoveNode(ready.parameters.inputVolume)
    assert openVolumes(ready) == []
    addVolume()
    ready.initializeParameterNode()
    segment(ready)
    slicer.mrmlScene.Clear(0)
    settle()
    assert openVolumes(ready) == []


def test_two_volumes_on_their_way_have_files_of_their_own(panel):
    session = panel.jobs.worker.session
    from MIASSAMSlicerLib.steps import runAll

    names = [runAll(session.saveArraySteps("volume", np.zeros((2, 3, 4)))) for _ in range(2)]
    assert len(set(names)) == 2 and all((session.folder / name).is_file() for name in names)


@pytest.mark.parametrize("way", ["no PythonSlicer", "a program that is not there"])
def test_a_worker_that_cannot_start_is_told(ready, monkeypatch, quietDialogs, way):
    from MIASSAMSlicerLib.errors import ModuleError

    def command(folder):
        if way == "no PythonSlicer":
            raise ModuleError("PythonSlicer was not found")
        return ["/nowhere/PythonSlicer", "-u"]

    monkeypatch.setattr(ready.jobs.worker, "_command", command)
    ready.ui.segmentButton.click()
    waitFor(lambda: quietDialogs and not ready.jobs.isBusy)
    assert "PythonSlicer was not found" in quietDialogs[0] or "ended unexpectedly" in quietDialogs[0]
    assert ready.ui.segmentButton.enabled


def test_a_drag_without_a_worker_puts_the_point_back(segmented, monkeypatch):
    from MIASSAMSlicerLib import cogPoints
    from MIASSAMSlicerLib.errors import ModuleError

    from .test_corrections import drag

    def command(folder):
        raise ModuleError("PythonSlicer was not found")

    segmented.jobs.close()
    monkeypatch.setattr(segmented.jobs.worker, "_command", command)
    position = cogPoints.worldPosition(segmented.results.points, 1)
    drag(segmented, 1, (20, 30, 3))
    settle()
    assert cogPoints.worldPosition(segmented.results.points, 1) == position
    assert segmented.ui.statusLabel.text == "PythonSlicer was not found"


# Card, self-test, banks


def test_the_help_text_leads_to_no_page_that_is_not_there(host, script):
    card = slicer.modules.miassam
    assert "example.org" not in card.helpText and slicer.app.documentationBaseUrl not in card.helpText
    assert "arxiv.org/abs/2505.22762" in card.helpText


def test_the_self_test_is_skipped_without_its_packages(script, scene, monkeypatch):
    from MIASSAMSlicerLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch"])
    with pytest.raises(unittest.SkipTest, match="torch"):
        script.MIASSAMTest().runTest()


def test_a_slider_does_not_look_through_the_bank_folder(ready, monkeypatch):
    from MIASSAMSlicerLib import banks

    looked = []
    monkeypatch.setattr(banks, "listBanks", lambda: looked.append(1) or [])
    for value in (0.1, 0.2, 0.3):
        ready.ui.opacitySlider.value = value
    assert looked == []
