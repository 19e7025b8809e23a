"""Save, close, load: inputs, heat map, points and their slices come back, and correcting works again."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .test_corrections import LEFT_3, drag, voxelsOf, waitUntilDone


def reload(folder):
    """Save the scene as a bundle, close it and load the bundle."""
    path = folder / "scene.mrb"
    slicer.util.saveScene(str(path))
    assert path.is_file(), "a save's return value is no proof"
    slicer.mrmlScene.Clear(0)
    settle()
    assert not slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    slicer.util.loadScene(str(path))
    settle()


@pytest.fixture
def reloaded(segmented, tmp_path):
    """The panel with results whose scene was saved, closed and loaded; also what it was before."""
    before = {
        "voxels": voxelsOf(segmented),
        "record": segmented.results.record,
        "heat": slicer.util.arrayFromVolume(segmented.results.heat).copy(),
        "range": segmented.results.heat.GetDisplayNode().GetLowerThreshold(),
    }
    segmented.parameters.heatOpacity = 0.3
    reload(tmp_path)
    waitFor(lambda: segmented.results is not None, what="the panel to find the results by itself")
    return segmented, before


def test_everything_comes_back(reloaded):
    panel, before = reloaded
    assert panel.results is not None and panel.results.inputVolume.GetName() == "Patient"
    assert all(np.array_equal(a, b) for a, b in zip(voxelsOf(panel), before["voxels"]))
    assert np.array_equal(slicer.util.arrayFromVolume(panel.results.heat), before["heat"])
    assert panel.results.record == before["record"]
    assert panel.ui.resultsTable.rowCount == 3
    assert panel.parameters.heatOpacity == 0.3


def test_the_heat_map_keeps_its_colors_and_threshold(reloaded):
    panel, before = reloaded
    display = panel.results.heat.GetDisplayNode()
    assert display.GetLowerThreshold() == pytest.approx(before["range"]) and display.GetApplyThreshold()
    colors = display.GetColorNode()
    assert colors.GetName() == "MIASSAM heat" and colors.GetNumberOfColors() == 256
    color = [0.0] * 4
    colors.GetColor(255, color)
    assert color[0] > 0.95 and color[1] > 0.9


def test_points_keep_their_slices(reloaded):
    from MIASSAMSlicerLib import cogPoints

    panel, _before = reloaded
    links = [cogPoints.linkOf(panel.results.points, index) for index in range(3)]
    assert [(link.sliceIndex, link.lesion) for link in links] == [(2, 1), (3, 1), (3, 2)]


def test_a_drag_works_again_and_only_its_slice_is_encoded(reloaded):
    panel, before = reloaded
    panel.jobs.close()  # the embeddings are gone with the process
    answers = []
    take = panel.corrections._finish
    panel.corrections._finish = lambda part, *rest: answers.append((part.sliceIndex, part.lesion)) or take(part, *rest)
    drag(panel, LEFT_3, (20, 30, 3))
    waitUntilDone(panel)
    after = voxelsOf(panel)
    assert answers == [(3, 1)]
    assert after[0][3, 28:33, 18:23].all()
    assert np.array_equal(np.delete(after[0], 3, 0), np.delete(before["voxels"][0], 3, 0))
    assert np.array_equal(after[1], before["voxels"][1])


def test_segmenting_again_after_loading_replaces_the_results(reloaded, bank):
    panel, _before = reloaded
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    panel.parameters.bankPath = str(bank)
    panel.ui.segmentButton.click()
    waitFor(lambda: panel.jobs.isBusy)
    waitFor(lambda: not panel.jobs.isBusy)
    settle()
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert voxelsOf(panel)[0].sum() == 72


def test_adding_the_scene_to_another_keeps_the_links(segmented, tmp_path):
    """Slicer gives nodes new ids then; the results still belong to their own volume."""
    from MIASSAMSlicerLib.resultNodes import Results

    path = tmp_path / "scene.mrb"
    slicer.util.saveScene(str(path))
    slicer.util.getNode("Patient").SetName("Earlier")
    slicer.util.loadScene(str(path), {"clear": False})
    settle()
    earlier, added = slicer.util.getNode("Earlier"), slicer.util.getNode("Patient")
    assert earlier.GetID() != added.GetID()
    for volume in (earlier, added):
        results = Results.of(volume)
        assert results is not None and results.isComplete and results.inputVolume is volume
    assert Results.of(earlier).segmentation is not Results.of(added).segmentation
