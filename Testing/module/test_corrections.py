"""Corrections by points, through the events that Slicer's markups give, and pictures of nothing else changing."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .test_logic import linearTransform, segmentVoxels, turned
from .test_panel import segment

LEFT_3 = 1
"""Control point of lesion 1 on slice 3."""


def drag(panel, index, ijk, steps=3):
    """Move a point as the mouse does: many moves, then one release."""
    from MIASSAMSlicerLib import cogPoints, volumes

    results = panel.results
    start = volumes.ijkFromWorld(results.inputVolume, cogPoints.worldPosition(results.points, index))
    for step in range(1, steps + 1):
        between = start + (np.asarray(ijk, float) - start) * step / steps
        results.points.SetNthControlPointPositionWorld(index, *volumes.worldFromIjk(results.inputVolume, between))
    results.points.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)


def place(panel, ijk):
    """Add a point as a click in place mode does."""
    from MIASSAMSlicerLib import volumes

    results = panel.results
    results.points.AddControlPointWorld(*volumes.worldFromIjk(results.inputVolume, ijk))
    waitUntilDone(panel)


def pressKey(panel, name):
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    panel.parent.activateWindow()
    settle()
    QTest.keyClick(panel.parent, getattr(QtCore.Qt, name))
    settle()


def waitUntilDone(panel):
    waitFor(lambda: not panel.corrections.isBusy)
    settle()


def voxelsOf(panel):
    return segmentVoxels(panel.results, 1), segmentVoxels(panel.results, 2)


def test_a_dragged_point_outlines_its_part_again_and_nothing_else(segmented):
    before = voxelsOf(segmented)
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    after = voxelsOf(segmented)
    assert after[0][3, 28:33, 18:23].all() and after[0][3].sum() == 25
    assert np.array_equal(np.delete(after[0], 3, 0), np.delete(before[0], 3, 0))
    assert np.array_equal(after[1], before[1])
    assert segmented.ui.statusLabel.text == "The correction was applied."


def test_it_is_outlined_once_and_only_on_release(segmented, monkeypatch):
    from MIASSAMSlicerLib import volumes

    asked, worker = [], segmented.jobs.worker
    ask = worker.ask

    def countedAsk(verb, *details, **named):
        asked.append(verb)
        return ask(verb, *details, **named)

    monkeypatch.setattr(worker, "ask", countedAsk)

    for x in range(11, 20):
        segmented.results.points.SetNthControlPointPositionWorld(
            LEFT_3, *volumes.worldFromIjk(segmented.results.inputVolume, (x, 12, 3))
        )
    settle()
    assert asked == []
    segmented.results.points.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    segmented.results.points.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    waitUntilDone(segmented)
    assert asked == ["redecode"]


def test_undo_brings_back_points_and_voxels(segmented):
    from MIASSAMSlicerLib import cogPoints

    before = voxelsOf(segmented)
    position = cogPoints.worldPosition(segmented.results.points, LEFT_3)
    for target in ((20, 30, 3), (5, 5, 3)):
        drag(segmented, LEFT_3, target)
        waitUntilDone(segmented)
    assert segmented.ui.undoButton.enabled
    segmented.ui.undoButton.click()
    assert segmentVoxels(segmented.results, 1)[3, 28:33, 18:23].all()
    segmented.ui.undoButton.click()
    assert all(np.array_equal(a, b) for a, b in zip(voxelsOf(segmented), before))
    positions = [cogPoints.worldPosition(segmented.results.points, n) for n in range(3)]
    assert position in positions
    assert not segmented.ui.undoButton.enabled
    assert not segmented.corrections.undo()


def test_ctrl_z_undoes(segmented):
    from PySide6 import QtCore
    from PySide6.QtTest import QTest

    before = voxelsOf(segmented)
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    segmented.parent.activateWindow()
    settle()
    QTest.keyClick(segmented.parent, QtCore.Qt.Key_Z, QtCore.Qt.ControlModifier)
    settle()
    assert np.array_equal(voxelsOf(segmented)[0], before[0])


def test_a_deleted_point_removes_its_part_only(segmented):
    before = voxelsOf(segmented)
    segmented.results.points.RemoveNthControlPoint(LEFT_3)
    waitUntilDone(segmented)
    after = voxelsOf(segmented)
    assert not after[0][3].any()
    assert np.array_equal(after[0][2], before[0][2])
    assert np.array_equal(after[1], before[1])
    segmented.ui.undoButton.click()
    assert np.array_equal(voxelsOf(segmented)[0], before[0])
    assert segmented.results.points.GetNumberOfControlPoints() == 3


def test_a_placed_point_joins_the_nearest_part(segmented):
    before = voxelsOf(segmented)
    place(segmented, (12, 20, 3))
    from MIASSAMSlicerLib import cogPoints

    link = cogPoints.linkOf(segmented.results.points, 3)
    assert (link.sliceIndex, link.lesion, link.isInside) == (3, 1, True)
    after = voxelsOf(segmented)
    assert after[0][3, 18:23, 10:15].all()
    assert np.array_equal(after[1], before[1])


@pytest.mark.parametrize("way", ["button", "key"])
def test_a_point_outside_takes_away(segmented, way):
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    if way == "button":
        segmented.ui.addOutsideButton.click()
    else:
        pressKey(segmented, "Key_O")
    place(segmented, (22, 30, 3))
    part = voxelsOf(segmented)[0][3]
    assert part[28:33, 18:20].all() and not part[28:33, 20:25].any()
    assert not segmented.results.points.GetNthControlPointSelected(3), "drawn in the other color"


def test_a_point_on_a_slice_without_points_starts_a_part_there(segmented):
    place(segmented, (30, 20, 5))
    assert voxelsOf(segmented)[0][5, 18:23, 28:33].all()


@pytest.mark.parametrize("isNew", [False, True], ids=["moved", "placed"])
def test_a_point_outside_the_volume_is_refused_with_a_message(segmented, isNew):
    from MIASSAMSlicerLib import cogPoints

    before = voxelsOf(segmented)
    position = cogPoints.worldPosition(segmented.results.points, LEFT_3)
    if isNew:
        place(segmented, (200, 20, 3))
    else:
        drag(segmented, LEFT_3, (-40, 20, 3))
    waitUntilDone(segmented)
    assert segmented.results.points.GetNumberOfControlPoints() == 3
    assert cogPoints.worldPosition(segmented.results.points, LEFT_3) == position
    assert "outside the volume 'Patient'" in segmented.ui.statusLabel.text
    assert all(np.array_equal(a, b) for a, b in zip(voxelsOf(segmented), before))
    assert not segmented.ui.undoButton.enabled


def test_a_point_dragged_in_another_view_stays_on_its_slice(segmented):
    from MIASSAMSlicerLib import cogPoints, volumes

    drag(segmented, LEFT_3, (20, 30, 4.4))
    waitUntilDone(segmented)
    ijk = volumes.ijkFromWorld(
        segmented.results.inputVolume, cogPoints.worldPosition(segmented.results.points, LEFT_3)
    )
    assert np.allclose(ijk, (20, 30, 3))
    assert not voxelsOf(segmented)[0][4].any()


def test_corrections_are_right_in_an_oblique_transformed_volume(ready):
    volume = ready.parameters.inputVolume
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(turned(flips=(-1, 1, 1))))
    volume.SetAndObserveTransformNodeID(linearTransform(turned(40.0, (1, 1, 1))).GetID())
    segment(ready)
    before = voxelsOf(ready)
    drag(ready, LEFT_3, (20, 30, 3))
    waitUntilDone(ready)
    after = voxelsOf(ready)
    assert after[0][3, 28:33, 18:23].all() and after[0][3].sum() == 25
    assert np.array_equal(np.delete(after[0], 3, 0), np.delete(before[0], 3, 0))
    assert np.array_equal(after[1], before[1])


def test_a_second_drag_during_decoding_wins(segmented):
    drag(segmented, LEFT_3, (20, 30, 3))
    drag(segmented, LEFT_3, (8, 30, 3))
    waitUntilDone(segmented)
    part = voxelsOf(segmented)[0][3]
    assert part[28:33, 6:11].all() and part.sum() == 25


def test_a_failed_decoding_puts_the_point_back(segmented, monkeypatch):
    from MIASSAMSlicerLib import cogPoints
    from MIASSAMSlicerLib.errors import WorkerError

    before = voxelsOf(segmented)
    position = cogPoints.worldPosition(segmented.results.points, LEFT_3)
    segmented.corrections._decode = lambda *arguments: arguments[-1](WorkerError("no model"))
    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    assert cogPoints.worldPosition(segmented.results.points, LEFT_3) == position
    assert np.array_equal(voxelsOf(segmented)[0], before[0])
    assert "no model" in segmented.ui.logTextEdit.plainText and segmented.ui.statusLabel.text == "no model"


def test_a_corrected_segment_counts_as_edited(segmented):
    from MIASSAMSlicerLib import anomalySegments

    drag(segmented, LEFT_3, (20, 30, 3))
    waitUntilDone(segmented)
    results = segmented.results
    assert anomalySegments.editedSegmentNames(results.segmentation, results.inputVolume) == ["Anomaly 1"]
    segmented.ui.undoButton.click()
    assert anomalySegments.editedSegmentNames(results.segmentation, results.inputVolume) == []


def test_a_new_run_is_no_correction(segmented):
    segmented.ui.segmentButton.click()
    waitFor(lambda: segmented.jobs.isBusy)
    waitFor(lambda: not segmented.jobs.isBusy)
    settle()
    assert voxelsOf(segmented)[0].sum() == 72
    assert not segmented.ui.undoButton.enabled


def test_add_inside_starts_slicers_place_mode(segmented):
    segmented.ui.addInsideButton.click()
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    assert selection.GetActivePlaceNodeID() == segmented.results.points.GetID()
    interaction.SwitchToViewTransformMode()
