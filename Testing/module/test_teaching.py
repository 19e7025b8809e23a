"""The radiologist teaches the bank by real clicks: what was called normal is marked no more, until it is unlearned."""

import json

import numpy as np
import pytest
import slicer
from slicer_host.events import waitFor

from .conftest import spots
from .test_corrections import voxelsOf
from .test_logic import segmentVoxels
from .test_panel_features import drawBox


@pytest.fixture
def agreeing(monkeypatch):
    """Questions are answered with OK, and kept."""
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: asked.append(text) or True)
    return asked


def waitForRun(panel, n_lesions):
    waitFor(lambda: not panel.jobs.isBusy and panel.results.record["n_lesions"] == n_lesions)


def marked(panel):
    """Return what any anomaly marks, bool (K, J, I)."""
    from MIASSAMSlicerLib.anomalySegments import ownSegments

    parts = [segmentVoxels(panel.results, lesion) for lesion in ownSegments(panel.results.segmentation)]
    return np.any(parts, 0)


def lessonsOf(bank):
    return list(json.loads((bank / "taught.json").read_text())["lessons"].values())


def test_the_anomaly_of_the_chosen_row_is_normal_until_unlearned(segmented, bank, agreeing):
    (bank / "manifest.json").write_text(json.dumps({"draft": {"modality": "mri"}}))
    before, segment = marked(segmented), voxelsOf(segmented)
    assert segmented.ui.normalButton.enabled and not segmented.ui.unlearnButton.enabled
    segmented.ui.resultsTable.setCurrentCell(0, 0)
    lesson = segmented.table.currentLesion
    segmented.ui.normalButton.click()
    waitFor(lambda: not segmented.jobs.isBusy and segmented.ui.unlearnButton.enabled)
    waitFor(lambda: not segmented.jobs.isBusy)
    assert "Brain" in agreeing[0] and "counts for every volume" in agreeing[0]
    assert np.array_equal(marked(segmented), before & ~segment[lesson - 1]), "the other anomaly stays"
    assert lessonsOf(bank)[0]["words"] == f"Anomaly {lesson}"
    assert "taught 1 more" in segmented.ui.bankInfoLabel.text
    segmented.ui.unlearnButton.click()
    waitForRun(segmented, 2)
    assert np.array_equal(marked(segmented), before)
    assert not segmented.ui.unlearnButton.enabled


def test_a_box_is_called_normal(segmented, bank, agreeing, views):
    views.resetSliceViews()
    segmented.ui.normalBoxButton.click()
    drawBox(segmented, views, (6, 8, 3), (16, 18, 3))
    waitFor(lambda: not segmented.jobs.isBusy and segmented.ui.unlearnButton.enabled)
    waitFor(lambda: not segmented.jobs.isBusy)
    left = spots() > 150
    left[3, :, :25] = False
    assert np.array_equal(marked(segmented), left)
    assert lessonsOf(bank)[0]["words"] == "A box"


def test_declining_teaches_nothing_and_without_a_row_it_is_said(segmented, bank, quietDialogs):
    segmented.ui.resultsTable.setCurrentCell(-1, -1)
    segmented.ui.normalButton.click()
    assert "Choose a row" in quietDialogs[-1]
    segmented.ui.resultsTable.setCurrentCell(0, 0)
    segmented.ui.normalButton.click()  # quietDialogs answers Cancel
    assert not segmented.jobs.isBusy and not (bank / "taught.json").exists()


def test_without_a_search_there_is_nothing_to_teach(panel):
    assert not panel.ui.normalButton.enabled and not panel.ui.normalBoxButton.enabled
    assert not panel.ui.unlearnButton.enabled
