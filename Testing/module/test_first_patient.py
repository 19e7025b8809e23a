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
def patient(walker, realLogic, shared_data, tmp_path):  # noqa: F811
    """The panel with brain1 and a bank of the normal slices of brain2; and the tumor, bool (K, J, I)."""
    other = slicer.util.loadVolume(str(shared_data / "brain2_image.nrrd"))
    marked = slicer.util.loadLabelVolume(str(shared_data / "brain2_label.nrrd"))
    bank = tmp_path / "Brain.bank"
    realLogic.buildMemoryBank([other], bank, modality="mri", excludeMasks={other: marked})
    for node in (other, marked):
        slicer.mrmlScene.RemoveNode(node)
    label = slicer.util.loadLabelVolume(str(shared_data / "brain1_label.nrrd"))
    tumor = slicer.util.arrayFromVolume(label) > 0
    slicer.mrmlScene.RemoveNode(label)
    image = slicer.util.loadVolume(str(shared_data / "brain1_image.nrrd"))
    slicer.util.setSliceViewerLayers(background=image)
    walker.parameters.inputVolume = image
    walker.parameters.bankPath = str(bank)
    settle()
    return walker, tumor


def waitForRun(panel):
    waitFor(lambda: not panel.jobs.isBusy and panel.results is not None, PATIENCE_S, "the run")
    settle()


@pytest.mark.slow
def test_the_first_patient_from_real_clicks(patient, views, tmp_path):
    from MIASSAMSlicerLib import anomalySegments, cogPoints, sliceViews, volumes

    panel, tumor = patient
    panel.ui.segmentButton.click()
    waitForRun(panel)
    results = panel.results
    index = int(tumor.sum((1, 2)).argmax())
    rows, columns = np.nonzero(tumor[index])
    low, high = (columns.min(), rows.min(), index), (columns.max(), rows.max(), index)

    views.resetSliceViews()
    sliceViews.jumpTo(volumes.worldFromIjk(results.inputVolume, low))
    own = set(anomalySegments.ownSegments(results.segmentation))
    panel.ui.boxButton.click()
    drawBox(panel, views, low, high)
    waitUntilDone(panel)
    boxed = next(iter(set(anomalySegments.ownSegments(results.segmentation)) - own), None)
    links = {cogPoints.linkOf(results.points, n): n for n in range(results.points.GetNumberOfControlPoints())}
    touched = [link for link in links if link.sliceIndex == index and (boxed is None or link.lesion == boxed)]
    parts = {link: segmentOf(results, link.lesion)[index] for link in touched}
    link, part = max(parts.items(), key=lambda each: (each[1] & tumor[index]).sum())
    assert 2 * (part & tumor[index]).sum() / (part.sum() + tumor[index].sum()) > 0.6, "the box outlines the tumor"

    before = labelsOf(results)
    position = cogPoints.worldPosition(results.points, links[link])
    drag(panel, links[link], volumes.ijkFromWorld(results.inputVolume, position) + np.array([4, 3, 0]))
    waitUntilDone(panel)
    changed = np.flatnonzero((labelsOf(results) != before).any((1, 2)))
    assert set(changed.tolist()) <= {index}
    corrected = labelsOf(results)
    saveAndReload(panel, tmp_path / "patient.mrb")
    assert corrected.any() and np.array_equal(labelsOf(panel.results), corrected)


@pytest.mark.slow
def test_the_first_patient_without_a_bank_from_real_clicks(walker, views, shared_data, tmp_path, monkeypatch):  # noqa: F811
    from MIASSAMSlicerLib import anomalySegments, cogPoints, sliceViews, volumes

    panel = walker
    label = slicer.util.loadLabelVolume(str(shared_data / "brain1_label.nrrd"))
    tumor = slicer.util.arrayFromVolume(label) > 0
    slicer.mrmlScene.RemoveNode(label)
    image = slicer.util.loadVolume(str(shared_data / "brain1_image.nrrd"))
    slicer.util.setSliceViewerLayers(background=image)
    panel.parameters.inputVolume = image
    panel.ui.bankComboBox.currentIndex = 0
    settle()
    panel.ui.segmentButton.click()
    waitForRun(panel)
    results = panel.results
    assert "no bank" in panel.ui.statusLabel.text and results.record["n_lesions"] > 0

    index = int(tumor.sum((1, 2)).argmax())
    rows, columns = np.nonzero(tumor[index])
    low, high = (columns.min(), rows.min(), index), (columns.max(), rows.max(), index)
    views.resetSliceViews()
    sliceViews.jumpTo(volumes.worldFromIjk(image, low))
    panel.ui.boxButton.click()
    drawBox(panel, views, low, high)
    waitUntilDone(panel)
    parts = {lesion: segmentOf(results, lesion)[index] for lesion in anomalySegments.ownSegments(results.segmentation)}
    boxed, part = max(parts.items(), key=lambda each: (each[1] & tumor[index]).sum())
    assert 2 * (part & tumor[index]).sum() / (part.sum() + tumor[index].sum()) > 0.6, "the box outlines the tumor"
    assert [str(index), str(boxed)] in [row[:2] for row in shownRows(panel)], "and the table has its row"

    point = next(
        n for n in range(results.points.GetNumberOfControlPoints())
        if cogPoints.linkOf(results.points, n) == cogPoints.PointLink(index, boxed)
    )  # fmt: skip
    before, position = labelsOf(results), cogPoints.worldPosition(results.points, point)
    drag(panel, point, volumes.ijkFromWorld(image, position) + np.array([4, 3, 0]))
    waitUntilDone(panel)
    assert set(np.flatnonzero((labelsOf(results) != before).any((1, 2))).tolist()) <= {index}

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
    panel.ui.segmentButton.click()
    waitForRun(panel)
    assert len(asked) == 1 and "were edited" in asked[0]
    again = labelsOf(panel.results)
    saveAndReload(panel, tmp_path / "patient.mrb")
    assert again.any() and np.array_equal(labelsOf(panel.results), again)
    assert panel.results.record["n_lesions"] == len(np.unique(again)) - 1


def segmentOf(results, lesion):
    from MIASSAMSlicerLib import anomalySegments

    own = anomalySegments.ownSegments(results.segmentation)
    return anomalySegments.segmentArray(results.segmentation, own[lesion], results.inputVolume) > 0
