"""The panel, by real clicks, with a worker whose every voxel is known."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import addVolume
from .test_logic import editFirstSegment, segmentVoxels


def segment(panel):
    panel.ui.segmentButton.click()
    waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, what="the results")


def test_opening_does_nothing_but_show_the_panel(host, script, scene, quietDialogs, monkeypatch):
    """Not even on a fresh Slicer, where packages are missing."""
    from MIASSAMSlicerLib import dependencies

    asked = []
    monkeypatch.setattr(dependencies, "missingPackages", lambda: asked.append("packages") or ["torch"])
    widget = host.openWidget(script, "MIASSAM")
    assert not widget.jobs.worker.isRunning and widget.logic.worker.processId is None
    assert not quietDialogs and not asked
    host.closeWidget("MIASSAM")


def test_an_empty_scene_says_what_to_do(panel, bank):
    assert not panel.ui.segmentButton.enabled
    assert panel.ui.segmentButton.toolTip == "Load a volume and choose it as input."
    assert panel.ui.statusLabel.text == panel.ui.segmentButton.toolTip, "a disabled button shows no tool tip to many"
    assert panel.ui.summaryLabel.text == "No results yet."
    addVolume()
    panel.initializeParameterNode()
    assert panel.ui.inputSelector.currentNode().GetName() == "Patient"
    assert panel.ui.statusLabel.text == "" and panel.ui.segmentButton.enabled, "without a bank, too"
    panel.parameters.bankPath = str(bank)
    assert panel.ui.statusLabel.text == "" and panel.ui.segmentButton.enabled


def test_a_click_segments_and_ranks_the_slices(ready):
    assert ready.ui.segmentButton.enabled
    segment(ready)
    assert "2 anomalies on 2 of 6 slices." in (ready.ui.summaryLabel.text, ready.ui.statusLabel.text)
    rows = [[ready.ui.resultsTable.item(row, column).text() for column in range(3)] for row in range(3)]
    assert rows == [["3", "2", "11.0"], ["2", "1", "10.0"], ["3", "1", "10.0"]]
    assert ready.ui.resultsTable.item(0, 3).text() == "30"
    assert ready.ui.resultsTable.horizontalHeaderItem(2).text() == "Score (fake units)", "the unit of the heat map"
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
    assert [legend.GetTitleText() for legend in legends] == ["fake units"]
    ready.ui.opacitySlider.value = 0.2
    assert {composite.GetForegroundOpacity() for composite in composites} == {0.2}


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


def test_closing_the_scene_clears_the_panel(ready):
    segment(ready)
    slicer.mrmlScene.Clear(0)
    settle()
    assert ready.results is None
    assert ready.ui.resultsTable.rowCount == 0
    assert not ready.ui.segmentButton.enabled


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

    assert [areaText(area) for area in (696.8, 9.96, 1.24, 0.1, 0.0234)] == ["697", "10.0", "1.2", "0.10", "0.023"]
    found = {"n_lesions": 1, "slices": [{"findings": [{}]}, {"findings": []}]}
    assert summaryOf(found) == "One anomaly on 1 of 2 slices."


@pytest.fixture
def asked(ready, monkeypatch):
    """What the worker was asked after the first run."""
    verbs, worker = [], ready.jobs.worker
    segment(ready)
    ask = worker.ask
    monkeypatch.setattr(
        worker, "ask", lambda verb, *details, **named: verbs.append(verb) or ask(verb, *details, **named)
    )
    return verbs


def test_another_mask_is_decoded_without_encoding_again(ready, asked):
    process = ready.jobs.worker.processId
    ready.ui.maskComboBox.currentIndex = 1  # "1: whole", where the fake worker cuts higher
    waitFor(lambda: ready.results.record["request"]["options"].get("mask") == "1" and not ready.jobs.isBusy)
    settle()
    assert not segmentVoxels(ready.results, 1).any() and ready.ui.resultsTable.rowCount == 1, "the option is applied"
    assert asked == ["segment"], "the volume was not sent again"
    assert ready.jobs.worker.processId == process, "the same warm worker"


def test_results_in_paper_units_say_so(script):
    from MIASSAMSlicerLib.cogPoints import PointLink, pointLabel
    from MIASSAMSlicerLib.units import legendTitle, scoreText, shortUnit, tailInWords

    calibrated, squared = "standard deviations above normal", "squared L2 distance to normal"
    assert pointLabel(PointLink(17, 1), 89.19, calibrated) == "slice 17: 89.2 SD"
    assert pointLabel(PointLink(17, 1), 0.01234, squared) == "slice 17: 0.0123"
    assert [shortUnit(calibrated), shortUnit(squared)] == ["SD", "squared L2"]
    assert legendTitle(squared) == "L2\u00b2" and legendTitle(calibrated) == "SD"
    assert [scoreText(value) for value in (0.0123, 7.6, 10.0, 12345.67)] == ["0.0123", "7.60", "10.0", "12345.7"]
    assert "0.002" in tailInWords(0.002) and "below 1e-06" in tailInWords(1e-20) and tailInWords(None) == ""


def test_a_view_that_shows_the_point_keeps_its_place(ready, views):
    """The whole image stays in sight; only a view in which the point lies outside is centered on it."""
    from MIASSAMSlicerLib import sliceViews

    views.resetSliceViews()
    node = views.sliceViews["Red"].node
    place = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:2, 3].copy()
    sliceViews.jumpTo((30.0, 20.0, 4.0))
    matrix = slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())
    assert np.allclose(matrix[:2, 3], place) and np.isclose(matrix[2, 3], 4.0)
    sliceViews.jumpTo((500.0, 20.0, 4.0))
    assert np.allclose(slicer.util.arrayFromVTKMatrix(node.GetSliceToRAS())[:2, 3], (500.0, 20.0))
