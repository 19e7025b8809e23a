"""A segment is written on one slice only, whatever else lies in its image."""

import numpy as np
import pytest

from .test_corrections import LEFT_3, drag, voxelsOf, waitUntilDone


def test_a_correction_writes_its_slice_only(segmented, monkeypatch):
    """A segment of many slices must not be written anew for one of them."""
    from MIASSAMSlicerLib import segmentVoxels as io

    written, apply = [], io._apply

    def noted(segmentation, segmentID, volumeNode, lows, part, mode):
        written.append((int(lows[0]), part.shape[0]))
        apply(segmentation, segmentID, volumeNode, lows, part, mode)

    monkeypatch.setattr(io, "_apply", noted)
    before = voxelsOf(segmented)
    drag(segmented, LEFT_3, (11, 13, 3))
    waitUntilDone(segmented)
    assert set(written) == {(3, 1)}
    written.clear()
    drag(segmented, LEFT_3, (11, 13, 3))
    waitUntilDone(segmented)
    assert written == [], "a point that has not moved writes nothing"
    segmented.ui.undoButton.click()
    assert np.array_equal(voxelsOf(segmented)[0], before[0])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_written_exactly_also_where_segments_share_a_layer(volume, axis):
    """Slicer keeps segments that do not overlap in one image; writing one must leave the other alone."""
    from MIASSAMSlicerLib import anomalySegments
    from MIASSAMSlicerLib import segmentVoxels as io

    random = np.random.default_rng(1)
    labels = random.integers(0, 3, (6, 40, 50)).astype(np.uint8)
    segmentation = anomalySegments.ensureSegmentation(volume)
    list(anomalySegments.writeSegmentsSteps(segmentation, volume, labels, keepEdited=False))
    segmentation.GetSegmentation().CollapseBinaryLabelmaps(False)
    thin = random.integers(0, 2, io.readShape(volume, axis)).astype(np.uint8)
    io.writeSlice(segmentation, "MIASSAM_1", volume, axis, 3, thin)
    wanted, place = labels == 1, [slice(None)] * 3
    place[2 - axis] = slice(3, 4)
    wanted[tuple(place)] = thin
    assert np.array_equal(io.readSegment(segmentation, "MIASSAM_1", volume) > 0, wanted)
    assert np.array_equal(io.readSegment(segmentation, "MIASSAM_2", volume) > 0, labels == 2)
