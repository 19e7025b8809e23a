"""Without a memory bank: the volume is compared with itself, and what the user points at is outlined unsearched."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import spots
from .test_corrections import drag, place, waitUntilDone
from .test_logic import segmentVoxels
from .test_panel import segment
from .test_panel_features import drawBox, rowsOf, shownRows


@pytest.fixture
def bankless(ready):
    """The panel with a volume, and no bank."""
    ready.ui.bankComboBox.currentIndex = 0
    return ready


def start(panel, button):
    button.click()
    waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, what="the empty results")


def test_without_a_bank_the_volume_can_be_compared_with_itself_or_pointed_at(bankless):
    ui = bankless.ui
    assert ui.bankComboBox.itemText(0) == "None (compare with the patient's own other side and tissue)"
    assert bankless.parameters.bankPath == "" and "unusual within this patient" in ui.bankInfoLabel.text
    for button in (ui.segmentButton, ui.severalButton, ui.addInsideButton, ui.addOutsideButton, ui.boxButton):
        assert button.enabled


def test_a_search_without_a_bank_is_no_result_on_demand(bankless, monkeypatch):
    segment(bankless)
    results = bankless.results
    assert results.heat is not None and not results.isOnDemand and results.record["request"]["bankPath"] == ""
    asked, worker = [], bankless.jobs.worker
    ask = worker.ask
    monkeypatch.setattr(worker, "ask", lambda verb, *rest, **named: asked.append(rest[0]) or ask(verb, *rest, **named))
    drag(bankless, 0, (20, 30, 3))
    waitUntilDone(bankless)
    assert asked[-1]["searched"] and asked[-1]["bank"] == ""


def test_what_is_called_normal_without_a_bank_leaves_the_results_until_undone(bankless):
    segment(bankless)
    ui, results = bankless.ui, bankless.results
    before, rows, shown = segmentVoxels(results, 1), rowsOf(results.table), shownRows(bankless)
    points = results.points.GetNumberOfControlPoints()
    while bankless.table.currentLesion != 1:
        ui.nextButton.click()
    ui.normalButton.click()
    assert "no memory bank to teach" in ui.statusLabel.text and not bankless.jobs.isBusy
    assert not segmentVoxels(results, 1).any() and segmentVoxels(results, 2).any()
    assert [row[1] for row in shownRows(bankless)] == ["2"]
    assert results.points.GetNumberOfControlPoints() == points - 2, "it lay on two slices"
    ui.undoButton.click()
    assert np.array_equal(segmentVoxels(results, 1), before) and results.points.GetNumberOfControlPoints() == points
    assert rowsOf(results.table) == rows and shownRows(bankless) == shown
    ui.normalBoxButton.click()
    assert "nothing to teach" in ui.statusLabel.text and not bankless.box.isDrawing


def test_a_point_is_outlined_and_can_be_dragged_and_undone(bankless):
    start(bankless, bankless.ui.addInsideButton)
    assert bankless.results.heat is None and not bankless.ui.opacitySlider.enabled
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    assert selection.GetActivePlaceNodeID() == bankless.results.points.GetID()
    place(bankless, (12, 20, 3))
    part = segmentVoxels(bankless.results, 1)
    assert part[3, 18:23, 10:15].all() and part.sum() == 25
    assert len(rowsOf(bankless.results.table)) == 1
    drag(bankless, 0, (20, 30, 3))
    waitUntilDone(bankless)
    moved = segmentVoxels(bankless.results, 1)
    assert moved[3, 28:33, 18:23].all() and moved.sum() == 25
    bankless.ui.undoButton.click()
    assert np.array_equal(segmentVoxels(bankless.results, 1), part)


def test_a_box_is_outlined(bankless, views):
    views.resetSliceViews()
    start(bankless, bankless.ui.boxButton)
    drawBox(bankless, views, (34, 23, 3), (44, 32, 3))
    waitUntilDone(bankless)
    wanted = np.zeros(spots().shape, bool)
    wanted[3, 25:30, 36:42] = True
    assert np.array_equal(segmentVoxels(bankless.results, 1) > 0, wanted)


def test_the_options_of_the_panel_reach_what_is_outlined_next(bankless, monkeypatch):
    start(bankless, bankless.ui.addInsideButton)
    bankless.ui.maskComboBox.currentIndex = 1
    asked, worker = [], bankless.jobs.worker
    ask = worker.ask
    monkeypatch.setattr(worker, "ask", lambda verb, *rest, **named: asked.append(rest[0]) or ask(verb, *rest, **named))
    place(bankless, (12, 20, 3))
    assert asked[0]["bank"] == "" and not asked[0]["searched"] and asked[0]["options"]["mask"] == "1"


def test_it_comes_back_with_the_scene_and_a_search_can_follow(bankless, bank, tmp_path, monkeypatch):
    start(bankless, bankless.ui.addInsideButton)
    place(bankless, (12, 20, 3))
    slicer.util.saveScene(str(tmp_path / "scene.mrb"))
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(str(tmp_path / "scene.mrb"))
    waitFor(lambda: bankless.results is not None, what="the reloaded results")
    settle()
    drag(bankless, 0, (20, 30, 3))
    waitUntilDone(bankless)
    assert segmentVoxels(bankless.results, 1)[3, 28:33, 18:23].all()
    bankless.parameters.bankPath = str(bank)
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda *_arguments, **_options: True)
    segment(bankless)
    waitFor(lambda: bankless.results.heat is not None, what="the results of the search")
    assert np.array_equal(segmentVoxels(bankless.results, 1) > 0, (spots() > 150) & (np.arange(50) < 25))
