"""Banks built in Slicer: from the chosen volumes, without the slices that a mask marks."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import slicer
from slicer_host.events import waitFor

from .conftest import addVolume
from .test_logic import linearTransform, turned

SHAPE = (6, 40, 50)


def marked():
    """Voxels (K, J, I): a part of slice 4 and of slice 5."""
    array = np.zeros(SHAPE, np.uint8)
    array[4, 10:20, 5:15] = 1
    array[5, 12:18, 30:44] = 1
    return array


def addSegmentation(volume, array, name="Lesions"):
    from MIASSAMSlicerLib import anomalySegments, segmentVoxels

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    for lesion, part in enumerate((array[:5], array[5:]), 1):
        whole = np.zeros(SHAPE, np.uint8)
        whole[5 * (lesion - 1) : 5 * (lesion - 1) + len(part)] = part
        segmentVoxels.writeSegment(node, anomalySegments.addLesionSegment(node, lesion), volume, whole)
    return node


def addLabelMap(array, ijkToRas, name="Label"):
    return slicer.util.addVolumeFromArray(
        np.ascontiguousarray(array), ijkToRas, name, nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def excluded(mask, volume):
    from MIASSAMSlicerLib.masks import markedVoxels

    return markedVoxels(mask, volume)


def test_all_segments_of_a_segmentation_count(scene):
    volume = addVolume(ijkToRas=turned())
    assert np.array_equal(excluded(addSegmentation(volume, marked()), volume), marked())


def test_a_segmentation_elsewhere_in_the_hierarchy_marks_the_same_place(scene):
    """The volume lies under a transform; the segmentation had it hardened."""
    volume = addVolume(ijkToRas=turned())
    volume.SetAndObserveTransformNodeID(linearTransform(turned(35.0, (1, 1, 1))).GetID())
    segmentation = addSegmentation(volume, marked())
    segmentation.HardenTransform()
    assert segmentation.GetTransformNodeID() is None
    assert np.array_equal(excluded(segmentation, volume), marked())


def test_a_segmentation_that_was_not_moved_with_its_volume_marks_another_place(scene):
    volume = addVolume()
    segmentation = addSegmentation(volume, marked())
    shift = np.eye(4)
    shift[0, 3] = -3.0
    volume.SetAndObserveTransformNodeID(linearTransform(shift).GetID())
    assert np.array_equal(excluded(segmentation, volume), np.roll(marked(), 3, axis=2))


def test_a_label_map_stored_another_way_round_marks_the_same_place(scene):
    place = turned()
    volume = addVolume(ijkToRas=place)
    flipped = place.copy()
    flipped[:3, 3] += flipped[:3, 0] * (SHAPE[2] - 1)
    flipped[:3, 0] *= -1
    labelMap = addLabelMap(7 * marked()[:, :, ::-1], flipped)
    assert np.array_equal(excluded(labelMap, volume), marked())
    assert np.array_equal(excluded(addLabelMap(marked(), place), volume), marked())


def test_a_mask_of_nothing_and_a_node_that_is_no_mask_are_refused(scene):
    from MIASSAMSlicerLib.errors import ModuleError

    volume = addVolume()
    with pytest.raises(ModuleError, match="'Label' marks nothing in 'Patient'"):
        excluded(addLabelMap(np.zeros(SHAPE, np.uint8), np.eye(4)), volume)
    with pytest.raises(ModuleError, match="'Patient' is no mask"):
        excluded(volume, volume)


def test_a_bank_is_built_in_scripts_without_what_is_marked(logic, volume, tmp_path):
    other = addVolume(name="Other")
    segmentation = addSegmentation(volume, marked())
    logic.buildMemoryBank([volume, other], tmp_path / "New.bank", excludeMasks={volume: segmentation})
    manifest = json.loads((tmp_path / "New.bank" / "manifest.json").read_text())
    assert manifest["left_out"] == {"Patient": [4, 5], "Other": []}


def openDialog(panel):
    import qt

    panel.ui.buildBankButton.click()
    dialog = panel.actions._dialog
    return dialog, dialog.buttons.button(qt.QDialogButtonBox.Ok)


def test_a_bank_is_built_from_the_panel(panel):
    import qt

    first = addVolume(name="Normal A")
    addVolume(name="Normal B")
    addSegmentation(first, marked(), "Scars")
    addLabelMap(marked(), np.eye(4), "Cysts")
    dialog, ok = openDialog(panel)
    assert dialog.volumeTable.rowCount == 2, "label maps and results are no volumes to learn from"
    combo = dialog.volumeTable.cellWidget(1, 1)
    assert [combo.itemText(index) for index in range(combo.count)] == ["nothing", "Scars", "Cysts"]
    assert not ok.enabled
    for row in (0, 1):
        dialog.volumeTable.item(row, 0).setCheckState(qt.Qt.Checked)
    combo.currentIndex = 2
    assert not ok.enabled
    dialog.nameEdit.text = "Heads"
    assert ok.enabled
    ok.click()
    waitFor(lambda: panel.parameters.bankPath)
    assert panel.parameters.bankPath.endswith(os.path.join("data", "banks", "Heads.bank"))
    assert panel.ui.statusLabel.text == "The memory bank was built from 12 normal slices."
    manifest = json.loads((Path(panel.parameters.bankPath) / "manifest.json").read_text())
    assert manifest["left_out"] == {"Normal A": [], "Normal B": [4, 5]}


def test_a_wrong_mask_is_told_and_nothing_is_built(panel, quietDialogs):
    import qt

    addVolume(name="Normal A")
    addLabelMap(np.zeros(SHAPE, np.uint8), np.eye(4), "Empty")
    dialog, ok = openDialog(panel)
    dialog.volumeTable.item(0, 0).setCheckState(qt.Qt.Checked)
    dialog.volumeTable.cellWidget(0, 1).currentIndex = 1
    dialog.nameEdit.text = "Heads"
    ok.click()
    waitFor(lambda: quietDialogs)
    assert "'Empty' marks nothing in 'Normal A'" in quietDialogs[0]
    assert not panel.parameters.bankPath and not panel.jobs.isBusy


def test_without_volumes_the_panel_says_what_to_do(panel):
    panel.ui.buildBankButton.click()
    assert "Load volumes of normal anatomy first" in panel.ui.statusLabel.text
