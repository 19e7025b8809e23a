"""The region that bounds the search, chosen on the panel."""

import numpy as np
import pytest
import slicer

from .conftest import spots
from .test_corrections import LEFT_3, drag, waitUntilDone
from .test_exclusion_masks import addLabelMap
from .test_logic import segmentVoxels
from .test_panel import segment


def leftHalf():
    region = np.zeros(spots().shape, np.uint8)
    region[:, :, :25] = 1
    return region


def userSegmentation(volume, array, name="Mine"):
    """A segmentation with one segment that the user has drawn."""
    from MIASSAMSlicerLib import segmentVoxels as io

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    io.writeSegment(node, node.GetSegmentation().AddEmptySegment("own", "Organ"), volume, array)
    return node


@pytest.mark.parametrize("kind", ["segmentation", "label map"])
def test_only_the_region_is_searched(ready, kind):
    volume = ready.parameters.inputVolume
    node = userSegmentation(volume, leftHalf()) if kind == "segmentation" else addLabelMap(leftHalf(), np.eye(4))
    ready.ui.regionSelector.setCurrentNode(node)
    segment(ready)
    assert np.array_equal(segmentVoxels(ready.results, 1), (spots() > 150) & (leftHalf() > 0))
    assert ready.results.segmentation.GetSegmentation().GetNumberOfSegments() == 1
    ready.ui.regionSelector.setCurrentNode(None)
    segment(ready)
    assert ready.results.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_one_segment_can_be_the_region(ready):
    from MIASSAMSlicerLib import segmentVoxels as io

    volume = ready.parameters.inputVolume
    node = userSegmentation(volume, leftHalf())
    other = node.GetSegmentation().AddEmptySegment("right", "Right half")
    io.writeSegment(node, other, volume, 1 - leftHalf())
    ready.ui.regionSelector.setCurrentNode(node)
    combo = ready.ui.regionSegmentComboBox
    assert not combo.isHidden()
    combo.currentIndex = combo.findText("Right half")
    segment(ready)
    found = segmentVoxels(ready.results, 1) if 1 in lesionsOf(ready) else segmentVoxels(ready.results, 2)
    assert np.array_equal(found, (spots() > 150) & (leftHalf() == 0))


def test_reading_a_region_does_not_change_its_name_and_drawing_in_it_does(volume):
    from MIASSAMSlicerLib import segmentVoxels as io
    from MIASSAMSlicerLib.masks import Region

    node = userSegmentation(volume, leftHalf())
    region = Region(node)
    before = region.key
    region.voxels(volume)
    assert region.key == before
    io.writeSegment(node, "own", volume, 1 - leftHalf())
    assert region.key != before


def test_a_point_is_dragged_after_a_run_in_a_region(ready):
    ready.ui.regionSelector.setCurrentNode(userSegmentation(ready.parameters.inputVolume, leftHalf()))
    segment(ready)
    before = segmentVoxels(ready.results, 1)
    ready.jobs.close()  # the volume and its region must be sent again
    drag(ready, 0, (20, 30, 2))
    waitUntilDone(ready)
    assert "not open" not in ready.ui.statusLabel.text
    assert not np.array_equal(segmentVoxels(ready.results, 1), before)


def lesionsOf(panel):
    from MIASSAMSlicerLib.anomalySegments import ownSegments

    return {n for n in ownSegments(panel.results.segmentation) if segmentVoxels(panel.results, n).any()}


def test_a_correction_uses_the_region_of_the_run(ready, monkeypatch):
    """Also when another region was chosen meanwhile: the volume is not sent again."""
    ready.ui.regionSelector.setCurrentNode(addLabelMap(leftHalf(), np.eye(4)))
    segment(ready)
    asked, worker = [], ready.jobs.worker
    ask = worker.ask
    monkeypatch.setattr(worker, "ask", lambda verb, *rest, **named: asked.append(verb) or ask(verb, *rest, **named))
    ready.ui.regionSelector.setCurrentNode(None)
    drag(ready, LEFT_3, (20, 30, 3))
    waitUntilDone(ready)
    assert asked == ["redecode"]
