"""All frames of a volume sequence in one run, with Slicer's own sequence nodes and logic."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import addVolume, spots


def frames():
    """Three frames: two spots, none, one spot; without the rest of `spots`."""
    one = np.where(np.arange(50) < 25, spots(), 50).astype(np.float32)
    return [spots(), np.full(spots().shape, 50, np.float32), one]


@pytest.fixture
def sequence(ready):
    """The panel with the proxy volume of a sequence as input."""
    scene = slicer.mrmlScene
    scene.RemoveNode(ready.parameters.inputVolume)
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", "Beat")
    sequence.SetIndexName("time")
    for number, voxels in enumerate(frames()):
        node = addVolume(voxels, name="frame")
        sequence.SetDataNodeAtValue(node, str(number))
        scene.RemoveNode(node)
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "Browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    ready.parameters.inputVolume = browser.GetProxyNode(sequence)
    settle()
    return browser


def proxyOf(browser, kind):
    nodes = slicer.util.getNodesByClass(kind)
    return next(node for node in nodes if browser.IsProxyNodeID(node.GetID()) and "anomal" in node.GetName())


def markedIn(browser, frame):
    """Go to a frame and return what the segmentation that follows it marks, bool (K, J, I)."""
    browser.SetSelectedItemNumber(frame)
    slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
    settle()
    volume = browser.GetProxyNode(browser.GetMasterSequenceNode())
    node = proxyOf(browser, "vtkMRMLSegmentationNode")
    parts = [
        slicer.util.arrayFromSegmentBinaryLabelmap(node, each, volume)
        for each in node.GetSegmentation().GetSegmentIDs()
    ]
    return np.any(parts, 0) if parts else np.zeros(spots().shape, bool)


def test_each_frame_has_its_results_and_they_follow_the_frame(ready, sequence):
    assert not ready.ui.framesButton.isHidden()
    ready.ui.framesButton.click()
    waitFor(lambda: "3 frames were segmented" in ready.ui.statusLabel.text, 20)
    assert "anomalies in frames: 0, 2" in ready.ui.statusLabel.text
    for number, voxels in [*enumerate(frames()), (0, frames()[0])]:
        assert np.array_equal(markedIn(sequence, number), voxels > 150), number
        heat = slicer.util.arrayFromVolume(proxyOf(sequence, "vtkMRMLScalarVolumeNode"))
        assert np.allclose(heat, np.maximum(voxels - 100, 0) / 20)
        points = proxyOf(sequence, "vtkMRMLMarkupsFiducialNode")
        assert points.GetNumberOfControlPoints() == [3, 0, 2][number]
    assert ready.results is None, "what is shown follows the frames"


def test_an_ordinary_volume_offers_no_frames_and_a_stopped_run_leaves_none(ready, sequence, monkeypatch):
    from MIASSAMSlicerLib.errors import ModuleError

    n_nodes = len(slicer.util.getNodesByClass("vtkMRMLSequenceNode"))
    real = ready.jobs.segment

    def second(target, run, edited, onResults, onFailure):
        if slicer.util.getNodesByClass("vtkMRMLSequenceNode")[n_nodes:]:
            onFailure(ModuleError("stopped"))
        else:
            real(target, run, edited, onResults, onFailure)

    monkeypatch.setattr(ready.jobs, "segment", second)
    ready.ui.framesButton.click()
    waitFor(lambda: ready.ui.statusLabel.text == "stopped")
    assert len(slicer.util.getNodesByClass("vtkMRMLSequenceNode")) == n_nodes
    ready.parameters.inputVolume = addVolume(name="Plain")
    settle()
    assert ready.ui.framesButton.isHidden()
