"""What users of such modules expect, by real clicks, keys and mouse."""

import csv

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor
from slicer_host.mouse import Mouse

from .conftest import addVolume, spots
from .test_corrections import LEFT_3, drag, pressKey, voxelsOf, waitUntilDone
from .test_panel import segment
from .test_regions import leftHalf, lesionsOf, userSegmentation

# Output segmentation and bank


def test_segments_go_into_the_chosen_segmentation_beside_its_own(ready):
    from MIASSAMSlicerLib import segmentVoxels as io

    volume = ready.parameters.inputVolume
    own = userSegmentation(volume, leftHalf(), "Mine")
    before = io.readSegment(own, own.GetSegmentation().GetNthSegmentID(0), volume)
    ready.ui.outputSelector.setCurrentNode(own)
    for _ in range(2):
        segment(ready)
    assert ready.results.segmentation is own
    assert own.GetSegmentation().GetNumberOfSegments() == 3
    assert np.array_equal(io.readSegment(own, own.GetSegmentation().GetNthSegmentID(0), volume), before)
    assert len(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) == 1


# Findings


def rowsOf(table):
    node = table.GetTable()
    columns = range(node.GetNumberOfColumns())
    return [[node.GetValue(row, column).ToString() for column in columns] for row in range(node.GetNumberOfRows())]


def test_the_findings_are_a_table_node_and_can_be_saved(segmented, monkeypatch, tmp_path):
    import qt

    table = segmented.results.table
    assert table.GetName() == "Patient anomaly table"
    assert rowsOf(table) == [
        ["1", "0.072", "7.8", "7.8", "2", "2-3", "10"],
        ["2", "0.030", "7.2", "6.0", "1", "3-3", "11"],
    ]
    monkeypatch.setattr(qt.QFileDialog, "getSaveFileName", lambda *_arguments: str(tmp_path / "findings"))
    segmented.ui.saveTableButton.click()
    saved = list(csv.reader((tmp_path / "findings.csv").open(encoding="utf-8")))
    assert len(saved) == 3 and saved[0][1] == "volume (ml)" and saved[1][1] == "0.072"


def shownRows(panel):
    table = panel.ui.resultsTable
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount)]


def test_both_tables_follow_a_correction_its_undo_and_a_reset(segmented):
    before, shown = rowsOf(segmented.results.table), shownRows(segmented)
    segmented.ui.resultsTable.setCurrentCell(0, 0)
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    after = rowsOf(segmented.results.table)[0]
    assert after == ["1", "0.061", "7.8", "7.8", "2", "2-3", "10"], "the widest is now on slice 2, 6 x 6 px"
    assert ["3", "1", "9.00", "25"] in shownRows(segmented), "5 x 5 px, and the score that the worker gave"
    assert segmented.table.currentSlice == 3 and segmented.table.currentLesion == 2, "the chosen row stays chosen"
    segmented.ui.undoButton.click()
    assert rowsOf(segmented.results.table) == before and shownRows(segmented) == shown
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    segmented.table.step(0)
    assert segmented.corrections.resetSlice(3)
    assert rowsOf(segmented.results.table) == before and shownRows(segmented) == shown


def test_arrow_keys_and_buttons_go_through_the_findings(segmented, views):
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    table = segmented.ui.resultsTable
    assert table.currentRow() == 0 and segmented.ui.statusLabel.text.startswith("2 anomalies on 2 of 6 slices.")
    QTest.keyClick(table, QtCore.Qt.Key_Down)
    QTest.keyClick(table, QtCore.Qt.Key_Up)
    assert segmented.ui.statusLabel.text == "Slice 3, anomaly 2."
    QTest.keyClick(table, QtCore.Qt.Key_Down)
    assert segmented.ui.statusLabel.text == "Slice 2, anomaly 1."
    assert views.sliceViews["Red"].node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(2.0)
    segmented.ui.nextButton.click()
    assert table.currentRow() == 2
    segmented.ui.nextButton.click()
    assert table.currentRow() == 0, "round at the end"
    segmented.ui.previousButton.click()
    assert table.currentRow() == 2
    pressKey(segmented, "Key_N")
    assert table.currentRow() == 0
    pressKey(segmented, "Key_P")
    assert table.currentRow() == 2


def test_show_3d_makes_and_removes_surfaces(segmented):
    segmentation = segmented.results.segmentation.GetSegmentation()
    segmented.ui.show3DButton.click()
    assert segmentation.ContainsRepresentation("Closed surface")
    segmented.ui.show3DButton.click()
    assert not segmentation.ContainsRepresentation("Closed surface")


# Box, reset


def drawBox(panel, views, first, second, name="Red"):
    from MIASSAMSlicerLib.volumes import worldFromIjk

    view = views.sliceViews[name]
    view.node.JumpSliceByOffsetting(*worldFromIjk(panel.results.inputVolume, first))
    view.array()
    mouse = Mouse(view)
    for corner in (first, second):
        mouse.click(worldFromIjk(panel.results.inputVolume, corner))
        view.array()
    settle()


@pytest.mark.parametrize("way", ["button", "key"])
def test_a_box_outlines_what_is_in_it(segmented, views, way):
    views.resetSliceViews()
    before = voxelsOf(segmented)
    if way == "button":
        segmented.ui.boxButton.click()
    else:
        pressKey(segmented, "Key_B")
    drawBox(segmented, views, (6, 8, 3), (11, 18, 3))
    waitUntilDone(segmented)
    after = voxelsOf(segmented)
    wanted = (spots() > 150)[3]
    wanted[:, 12:] = False
    assert np.array_equal(after[0][3], wanted)
    assert np.array_equal(np.delete(after[0], 3, 0), np.delete(before[0], 3, 0))
    assert not slicer.util.getNodesByClass("vtkMRMLMarkupsROINode"), "the box is gone once it is drawn"
    segmented.ui.undoButton.click()
    assert np.array_equal(voxelsOf(segmented)[0], before[0])
    assert segmented.results.points.GetNumberOfControlPoints() == 3


def test_a_box_where_nothing_was_found_begins_a_new_anomaly(segmented, views):
    views.resetSliceViews()
    slicer.util.arrayFromVolume(segmented.results.inputVolume)  # unchanged: the worker's copy decides
    segmented.ui.boxButton.click()
    drawBox(segmented, views, (6, 8, 2), (16, 18, 2))
    waitUntilDone(segmented)
    assert lesionsOf(segmented) >= {1}
    segmented.ui.boxButton.click()
    drawBox(segmented, views, (34, 23, 4), (44, 32, 4))
    waitUntilDone(segmented)
    assert len(rowsOf(segmented.results.table)) == 3


def test_a_box_in_another_view_is_refused(segmented, views):
    views.resetSliceViews()
    before = voxelsOf(segmented)
    segmented.ui.boxButton.click()
    drawBox(segmented, views, (6, 12, 1), (16, 12, 4), "Green")
    waitUntilDone(segmented)
    assert "view that shows the volume's slices" in segmented.ui.statusLabel.text
    assert np.array_equal(voxelsOf(segmented)[0], before[0])


def test_a_slice_can_be_reset_and_that_be_undone(segmented):
    before = voxelsOf(segmented)
    for target in ((20, 30, 3), (5, 5, 3)):
        drag(segmented, LEFT_3, target)
        waitUntilDone(segmented)
    corrected = voxelsOf(segmented)
    segmented.ui.resultsTable.setCurrentCell(0, 0)
    segmented.ui.resetSliceButton.click()
    assert all(np.array_equal(a, b) for a, b in zip(voxelsOf(segmented), before))
    segmented.ui.undoButton.click()
    assert all(np.array_equal(a, b) for a, b in zip(voxelsOf(segmented), corrected))
    segmented.ui.resultsTable.setCurrentCell(1, 0)
    segmented.ui.resetSliceButton.click()
    assert segmented.ui.statusLabel.text == "Slice 2 was not corrected."


# Several volumes, maintenance


def test_several_volumes_are_segmented_one_after_the_other(ready, quietDialogs):
    import qt

    second = addVolume(name="Second")
    damaged = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    ready.ui.severalButton.click()
    dialog = ready.actions._dialog
    assert dialog.list.count == 3
    dialog.buttons.button(qt.QDialogButtonBox.Ok).click()
    waitFor(lambda: quietDialogs and not ready.jobs.isBusy, what="the end of the run")
    settle()
    for volume in (slicer.util.getNode("Patient"), second):
        assert ready.logic.resultsOf(volume) is not None
    assert ready.logic.resultsOf(damaged) is None
    assert "Empty" in quietDialogs[0] and "has no voxels" in quietDialogs[0] and len(quietDialogs) == 1


def test_cancel_stops_several_volumes(ready, monkeypatch):
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "0.3")
    second = addVolume(name="Second")
    ready.actions._onSeveralChosen([ready.parameters.inputVolume, second])
    waitFor(lambda: ready.ui.progressBar.value >= 1)
    ready.ui.segmentButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    settle(0.2)
    assert not ready.jobs.isBusy and ready.logic.resultsOf(second) is None


def test_versions_and_folders_are_shown(ready, monkeypatch):
    import qt

    opened = []
    monkeypatch.setattr(qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile()))
    ready.ui.versionsButton.click()
    assert "torch 2" in ready.ui.logTextEdit.plainText and "numpy" in ready.ui.logTextEdit.plainText
    ready.ui.bankFolderButton.click()
    ready.ui.modelFolderButton.click()
    waitFor(lambda: len(opened) == 2)
    assert opened[0].endswith("banks") and opened[1] == "/models"
