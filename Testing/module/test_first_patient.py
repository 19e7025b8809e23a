"""A real patient, from real clicks: segment, correct by box and by drag, save and reload."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .test_corrections import drag, waitUntilDone
from .test_panel_features import drawBox, shownRows
from .test_real_model import labelsOf, saveAndReload, walker  # noqa: F401

PATIENCE_S = 1500


@pytest.fixture
def head(walker, shared_data):  # noqa: F811
    """The panel with brain1, not yet segmented; and the tumor, bool (K, J, I)."""
    label = slicer.util.loadLabelVolume(str(shared_data / "brain1_label.nrrd"))
    tumor = slicer.util.arrayFromVolume(label) > 0
    slicer.mrmlScene.RemoveNode(label)
    image = slicer.util.loadVolume(str(shared_data / "brain1_image.nrrd"))
    slicer.util.setSliceViewerLayers(background=image)
    walker.parameters.inputVolume = image
    return walker, tumor


@pytest.fixture
def bank(realLogic, shared_data, tmp_path):
    """A bank of the normal slices of brain2."""
    other = slicer.util.loadVolume(str(shared_data / "brain2_image.nrrd"))
    marked = slicer.util.loadLabelVolume(str(shared_data / "brain2_label.nrrd"))
    realLogic.buildMemoryBank([other], tmp_path / "Brain.bank", modality="mri", excludeMasks={other: marked})
    for node in (other, marked):
        slicer.mrmlScene.RemoveNode(node)
    return tmp_path / "Brain.bank"


def segmentOf(results, lesion):
    from MIASSAMSlicerLib import anomalySegments

    own = anomalySegments.ownSegments(results.segmentation)
    return anomalySegments.segmentArray(results.segmentation, own[lesion], results.inputVolume) > 0


def run(panel):
    settle()
    panel.ui.segmentButton.click()
    waitFor(lambda: not panel.jobs.isBusy and panel.results is not None, PATIENCE_S, "the run")
    settle()


def outlineByBox(panel, views, tumor):
    """Draw a box around the tumor on its largest slice; return that slice and the number of what was outlined."""
    from MIASSAMSlicerLib import anomalySegments, sliceViews, volumes

    results, index = panel.results, int(tumor.sum((1, 2)).argmax())
    rows, columns = np.nonzero(tumor[index])
    low, high = (columns.min(), rows.min(), index), (columns.max(), rows.max(), index)
    views.resetSliceViews()
    sliceViews.jumpTo(volumes.worldFromIjk(results.inputVolume, low))
    panel.ui.boxButton.click()
    drawBox(panel, views, low, high)
    waitUntilDone(panel)
    parts = {lesion: segmentOf(results, lesion)[index] for lesion in anomalySegments.ownSegments(results.segmentation)}
    boxed, part = max(parts.items(), key=lambda each: (each[1] & tumor[index]).sum())
    assert 2 * (part & tumor[index]).sum() / (part.sum() + tumor[index].sum()) > 0.6, "the box outlines the tumor"
    return index, boxed


def dragPart(panel, index, lesion):
    """Drag a part's point by some pixels: no other slice changes."""
    from MIASSAMSlicerLib import cogPoints, volumes

    results, link = panel.results, cogPoints.PointLink(index, lesion)
    numbers = range(results.points.GetNumberOfControlPoints())
    point = next(number for number in numbers if cogPoints.linkOf(results.points, number) == link)
    before, position = labelsOf(results), cogPoints.worldPosition(results.points, point)
    drag(panel, point, volumes.ijkFromWorld(results.inputVolume, position) + np.array([4, 3, 0]))
    waitUntilDone(panel)
    assert set(np.flatnonzero((labelsOf(results) != before).any((1, 2))).tolist()) <= {index}


def comesBack(panel, path):
    """Save and reload the scene: the labels are the same."""
    labels = labelsOf(panel.results)
    saveAndReload(panel, path)
    assert labels.any() and np.array_equal(labelsOf(panel.results), labels)
    return labels


@pytest.mark.slow
def test_the_first_patient_from_real_clicks(head, bank, views, tmp_path):
    panel, tumor = head
    panel.parameters.bankPath = str(bank)
    run(panel)
    dragPart(panel, *outlineByBox(panel, views, tumor))
    comesBack(panel, tmp_path / "patient.mrb")


@pytest.mark.slow
def test_the_first_patient_without_a_bank_from_real_clicks(head, views, tmp_path, monkeypatch):
    panel, tumor = head
    panel.ui.bankComboBox.currentIndex = 0
    run(panel)
    results = panel.results
    assert "no bank" in panel.ui.statusLabel.text and results.record["n_lesions"] > 0
    index, boxed = outlineByBox(panel, views, tumor)
    assert [str(index), str(boxed)] in [row[:2] for row in shownRows(panel)], "and the table has its row"
    dragPart(panel, index, boxed)

    panel.ui.nextButton.click()
    normal, corrected = panel.table.currentLesion, labelsOf(results)
    panel.ui.normalButton.click()
    assert "no memory bank to teach" in panel.ui.statusLabel.text
    assert not segmentOf(results, normal).any() and normal not in {int(row[1]) for row in shownRows(panel)}
    panel.ui.undoButton.click()
    assert np.array_equal(labelsOf(results), corrected)
    panel.ui.normalButton.click()

    asked = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, **_options: asked.append(text) or True)
    run(panel)
    assert len(asked) == 1 and "were edited" in asked[0]
    again = comesBack(panel, tmp_path / "patient.mrb")
    assert panel.results.record["n_lesions"] == len(np.unique(again)) - 1
