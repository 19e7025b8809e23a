"""The panel, by real clicks, with a worker whose every voxel is known."""

import os
import time

import numpy as np
import pytest
import slicer
from slicer_host.events import BlockMeter, overbooked, settle, waitFor

from .conftest import addVolume, spots
from .test_logic import editFirstSegment, segmentVoxels


def segment(panel):
    panel.ui.segmentButton.click()
    waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, what="the results")


def test_opening_does_nothing_but_show_the_panel(host, script, scene, quietDialogs):
    start = time.process_time()
    widget = host.openWidget(script, "MIASSAM")
    assert time.process_time() - start < 1.0
    assert not widget.jobs.worker.isRunning and widget.logic.worker.processId is None
    assert not quietDialogs
    host.closeWidget("MIASSAM")


def test_an_empty_scene_says_what_to_do(panel):
    assert not panel.ui.segmentButton.enabled
    assert panel.ui.segmentButton.toolTip == "Load a volume and choose it as input."
    assert panel.ui.summaryLabel.text == "No results yet."
    addVolume()
    panel.initializeParameterNode()
    assert panel.ui.inputSelector.currentNode().GetName() == "Patient"
    assert panel.ui.segmentButton.toolTip == "Choose a memory bank."


def test_a_click_segments_and_ranks_the_slices(ready):
    assert ready.ui.segmentButton.enabled
    segment(ready)
    assert ready.ui.statusLabel.text == "2 anomalies on 2 of 6 slices."
    rows = [[ready.ui.resultsTable.item(row, column).text() for column in range(3)] for row in range(3)]
    assert rows == [["3", "2", "11.00"], ["2", "1", "10.00"], ["3", "1", "10.00"]]
    assert ready.ui.resultsTable.item(0, 3).text() == "30"
    assert ready.ui.deviceInUseLabel.text == "used: cpu"
    assert ready.ui.editButton.enabled and not ready.ui.undoButton.enabled


def distanceToPlane(sliceNode, point):
    matrix = slicer.util.arrayFromVTKMatrix(sliceNode.GetSliceToRAS())
    return abs(float(matrix[:3, 2] @ (np.asarray(point) - matrix[:3, 3])))


def test_a_row_moves_all_views_to_its_point(ready, views):
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    segment(ready)
    table = ready.ui.resultsTable
    QTest.mouseClick(
        table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, table.visualItemRect(table.item(0, 0)).center()
    )
    for view in views.sliceViews.values():
        assert distanceToPlane(view.node, (38.5, 27.0, 3.0)) < 1e-6


def test_the_heat_map_is_the_foreground_of_all_views_with_its_legend(ready, views):
    segment(ready)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    assert len(composites) == 3
    for composite in composites:
        assert composite.GetForegroundVolumeID() == ready.results.heat.GetID()
        assert composite.GetBackgroundVolumeID() == ready.results.inputVolume.GetID()
        assert composite.GetForegroundOpacity() == 0.5
    legends = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    assert [legend.GetTitleText() for legend in legends] == ["Anomaly\n(fake units)"]
    ready.ui.opacitySlider.value = 0.2
    assert {composite.GetForegroundOpacity() for composite in composites} == {0.2}


def test_the_button_cancels_and_nothing_is_left(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    ready.ui.segmentButton.click()
    assert ready.ui.segmentButton.text == "Cancel"
    waitFor(lambda: ready.ui.progressBar.value >= 1 and "segmenting slices" in ready.ui.statusLabel.text)
    start = time.monotonic()
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert time.monotonic() - start < overbooked(2.0)
    assert ready.ui.segmentButton.text == "Segment anomalies"
    assert ready.ui.statusLabel.text == "Stopped. Nothing was changed."
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert ready.jobs.worker.isRunning, "a worker that stops on request stays warm"


def test_a_worker_that_does_not_hear_is_ended_within_two_seconds(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "200")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.jobs.worker.processId and ready.jobs._open.get("keys"))
    settle(0.3)
    process, folder = ready.jobs.worker.processId, ready.jobs.worker.session.folder
    start = time.monotonic()
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert time.monotonic() - start < overbooked(2.0)
    assert not folder.exists()
    assert not _isAlive(process)


def _isAlive(process):
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
    assert not _isAlive(process)


def test_the_window_answers_during_a_run(panel, bank, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.02")
    voxels = np.tile(spots((6, 40, 50)), (6, 5, 5)).astype(np.float32)
    addVolume(voxels)
    panel.initializeParameterNode()
    panel.parameters.bankPath = str(bank)
    with BlockMeter() as meter:
        segment(panel)
    assert meter.longest < 0.2, f"the event loop was blocked for {meter.longest:.3f} s"


def test_a_failure_is_shown_once_and_the_panel_is_usable(ready, tmp_path, quietDialogs):
    damaged = tmp_path / "damaged.bank"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("{}")
    good, ready.parameters.bankPath = ready.parameters.bankPath, str(damaged)
    ready.ui.segmentButton.click()
    waitFor(lambda: quietDialogs)
    assert quietDialogs == [f"{damaged} is damaged; rebuild it"]
    assert ready.ui.segmentButton.enabled
    ready.parameters.bankPath = good
    segment(ready)


@pytest.mark.parametrize("replaces", [False, True])
def test_an_edited_segment_is_asked_about(ready, monkeypatch, replaces):
    segment(ready)
    edited = editFirstSegment(ready.results)
    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, **_options: asked.append(text) or replaces)
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    assert len(asked) == 1 and "Anomaly 1" in asked[0]
    segments = ready.results.segmentation.GetSegmentation()
    assert segments.GetNumberOfSegments() == (2 if replaces else 3)
    if not replaces:
        from MIASSAMSlicerLib import segmentVoxels as io

        assert np.array_equal(
            io.readSegment(ready.results.segmentation, "MIASSAM_1", ready.results.inputVolume), edited
        )


def test_another_mask_is_decoded_without_encoding_again(ready):
    segment(ready)
    before = segmentVoxels(ready.results, 1)
    folder = ready.jobs.worker.session.folder
    ready.ui.maskComboBox.currentIndex = 1  # "1: whole"; the fake worker then cuts higher
    waitFor(lambda: ready.results.record["request"]["options"].get("mask") == "1")
    settle()
    assert ready.jobs.worker.session.folder == folder, "the same warm worker"
    assert segmentVoxels(ready.results, 1).sum() == before.sum()
    assert not list(folder.glob("volume*")), "the volume was not sent again"


def test_the_sample_comes_with_its_bank(panel):
    panel.ui.loadSampleButton.click()
    waitFor(lambda: panel.parameters.bankPath and not panel.jobs.isBusy)
    assert panel.parameters.inputVolume.GetName() == "MIASSAMBrain"
    assert panel.ui.bankComboBox.currentText == "Sample brain MRI"
    assert panel.ui.segmentButton.enabled
    segment(panel)


def test_a_bank_is_built_from_loaded_volumes(panel):
    addVolume(name="Normal A")
    addVolume(name="Normal B")
    panel.ui.buildBankButton.click()
    dialog = panel.actions._dialog
    ok = dialog.buttons.button(dialog.buttons.StandardButton.Ok)
    assert not ok.enabled
    import qt

    dialog.volumeList.item(1).setCheckState(qt.Qt.Checked)
    dialog.nameEdit.text = "Heads"
    assert ok.enabled
    ok.click()
    waitFor(lambda: panel.parameters.bankPath)
    assert panel.parameters.bankPath.endswith(os.path.join("data", "banks", "Heads.bank"))
    assert panel.ui.statusLabel.text == "The memory bank was built from 12 normal slices."


def test_closing_the_scene_clears_the_panel(ready):
    segment(ready)
    slicer.mrmlScene.Clear(0)
    settle()
    assert ready.results is None
    assert ready.ui.resultsTable.rowCount == 0
    assert not ready.ui.segmentButton.enabled


def test_closing_the_scene_during_a_run_leaves_nothing(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    ready.ui.segmentButton.click()
    waitFor(lambda: ready.ui.progressBar.value >= 1)
    slicer.mrmlScene.Clear(0)
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")


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


def test_deleting_a_result_node_is_survived(ready):
    segment(ready)
    slicer.mrmlScene.RemoveNode(ready.results.heat)
    settle()
    assert ready.results is None
    segment(ready)


def test_leaving_and_coming_back_keeps_the_results(ready):
    segment(ready)
    results = ready.results
    ready.exit()
    ready.enter()
    assert ready.results is results
    assert ready.ui.resultsTable.rowCount == 3


def test_reload_forgets_the_packages(host, ready, monkeypatch):
    import sys

    ours = ("MIASSAMLib", "MIASSAMSlicerLib")
    kept = {name: each for name, each in sys.modules.items() if name.split(".")[0] in ours}
    monkeypatch.setattr(slicer.util, "reloadScriptedModule", lambda name: None)
    ready.onReload()
    forgotten = [name for name in kept if name not in sys.modules]
    sys.modules.update(kept)
    assert "MIASSAMSlicerLib.logic" in forgotten and "MIASSAMLib.worker" in forgotten


def test_words_and_numbers_read_well(script):
    from MIASSAMSlicerLib.resultsTable import areaText
    from MIASSAMSlicerLib.runs import summaryOf

    assert [areaText(area) for area in (696.8, 9.96, 0.0234)] == ["697", "10", "0.023"]
    found = {"n_lesions": 1, "slices": [{"findings": [{}]}, {"findings": []}]}
    assert summaryOf(found) == "One anomaly on 1 of 2 slices."
