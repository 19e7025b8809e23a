"""What Slicer does otherwise than a friendlier host would: each test is named for a defect it would have shown."""

import unittest

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor
from slicer_host.mouse import Mouse

from .conftest import addVolume, spots
from .test_exclusion_masks import addLabelMap
from .test_panel import segment


@pytest.fixture
def shown(ready, views):
    """The panel with results, drawn in views that stand on slice 3."""
    segment(ready)
    for view in views.sliceViews.values():
        view.node.JumpSliceByOffsetting(10.5, 12.5, 3.0)
        view.array()
    return ready


def worldOf(panel, ijk):
    from MIASSAMSlicerLib import volumes

    return volumes.worldFromIjk(panel.results.inputVolume, ijk)


def linksOf(panel):
    from MIASSAMSlicerLib import cogPoints

    points = panel.results.points
    return [cogPoints.linkOf(points, index) for index in range(points.GetNumberOfControlPoints())]


# Dialogs


def test_the_button_box_has_its_buttons(panel):
    """PythonQt makes QDialogButtonBox(Ok | Cancel) a box with an orientation and no buttons."""
    import qt
    from MIASSAMSlicerLib.buildBankDialog import BuildBankDialog
    from MIASSAMSlicerLib.chooseVolumesDialog import ChooseVolumesDialog

    for dialog in (
        BuildBankDialog([addVolume()], [], panel.parent, print),
        ChooseVolumesDialog([addVolume()], panel.parent, print),
    ):
        assert dialog.buttons.button(qt.QDialogButtonBox.Ok) is not None
        assert dialog.buttons.button(qt.QDialogButtonBox.Cancel) is not None


def test_the_host_builds_a_button_box_as_pythonqt_does(host):
    import qt

    both = qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel
    assert type(both) is int
    assert qt.QDialogButtonBox(both).button(qt.QDialogButtonBox.Ok) is None


# Placing


@pytest.mark.parametrize(("button", "isInside"), [("addInsideButton", True), ("addOutsideButton", False)])
def test_a_click_in_a_view_places_the_point_of_the_button(shown, views, button, isInside):
    getattr(shown.ui, button).click()
    Mouse(views.sliceViews["Red"]).click(worldOf(shown, (14, 20, 3)))
    waitFor(lambda: not shown.corrections.isBusy)
    settle()
    assert [link.isInside for link in linksOf(shown)] == [True, True, True, isInside]


def test_shift_and_click_places_nothing_in_slicer(shown, views):
    """Slicer's markups place without modifiers only, so Shift cannot mean "outside"."""
    shown.ui.addInsideButton.click()
    mouse = Mouse(views.sliceViews["Red"])
    mouse.click(worldOf(shown, (14, 20, 3)), shift=True)
    assert len([link for link in linksOf(shown) if link]) == 3
    mouse.click(worldOf(shown, (14, 20, 3)))
    waitFor(lambda: not shown.corrections.isBusy)
    assert len(linksOf(shown)) == 4


def test_a_point_after_an_outside_point_is_inside_again(shown, views):
    mouse = Mouse(views.sliceViews["Red"])
    for button in (shown.ui.addOutsideButton, shown.ui.addInsideButton):
        button.click()
        mouse.click(worldOf(shown, (14 + 3 * linksOf(shown).__len__(), 30, 3)))
        waitFor(lambda: not shown.corrections.isBusy)
    assert [link.isInside for link in linksOf(shown)][3:] == [False, True]


def test_a_click_outside_the_image_is_refused(shown, views):
    """The point is removed after the view's own event, which would else work on with a point that is gone."""
    views.resetSliceViews()
    view = views.sliceViews["Red"]
    view.node.SetFieldOfView(150.0, 150.0, 1.0)
    view.array()
    shown.ui.addInsideButton.click()
    Mouse(view).click(worldOf(shown, (70, 20, 3)))
    settle()
    assert "outside the volume" in shown.ui.statusLabel.text
    assert len(linksOf(shown)) == 3


def test_a_point_is_dragged_by_the_mouse(shown, views):
    from .test_corrections import voxelsOf

    Mouse(views.sliceViews["Red"]).drag(worldOf(shown, (10.5, 12.5, 3)), worldOf(shown, (20, 30, 3)))
    waitFor(lambda: not shown.corrections.isBusy)
    settle()
    part = voxelsOf(shown)[0][3]
    assert part[28:33, 18:23].all() and part.sum() == 25


# Views


def placeOf(view):
    return slicer.util.arrayFromVTKMatrix(view.node.GetSliceToRAS()).copy(), view.node.GetFieldOfView()


def test_another_decoding_keeps_zoom_and_place(ready, views):
    """layoutManager().resetSliceViews() is FitSliceToVolumes: the zoom would be lost at each option."""
    segment(ready)
    view = views.sliceViews["Red"]
    view.node.SetFieldOfView(12.0, 12.0, 1.0)
    view.node.JumpSliceByCentering(10.0, 12.0, 3.0)
    before = placeOf(view)
    ready.ui.maskComboBox.currentIndex = 1
    waitFor(lambda: ready.results.record["request"]["options"].get("mask") == "1" and not ready.jobs.isBusy)
    settle()
    assert np.allclose(placeOf(view)[0], before[0]) and placeOf(view)[1] == before[1]
    segment(ready)
    assert placeOf(view)[1] == before[1], "a second run keeps them as well"


def test_the_first_results_are_fitted_and_show_the_most_unusual_slice(ready, views):
    view = views.sliceViews["Red"]
    view.node.SetFieldOfView(3.0, 3.0, 1.0)
    segment(ready)
    settle()
    assert view.node.GetFieldOfView()[0] > 30
    assert view.node.GetSliceToRAS().GetElement(2, 3) == pytest.approx(3.0)
    assert ready.ui.resultsTable.currentRow() == 0


# Leaving the module


def test_a_bank_that_is_done_while_another_module_is_open_is_chosen(ready, tmp_path):
    from MIASSAMSlicerLib.buildBankDialog import BankDescription

    ready.actions._onBankDescribed(BankDescription([ready.parameters.inputVolume], "New", "mri", "head"))
    ready.exit()
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    ready.enter()
    assert ready.parameters.bankPath.endswith("New.bank")
    assert "built from" in ready.ui.statusLabel.text


def test_a_run_that_is_done_while_another_module_is_open_is_shown(ready):
    ready.ui.segmentButton.click()
    ready.exit()
    waitFor(lambda: not ready.jobs.isBusy)
    settle()
    ready.enter()
    assert ready.results is not None and ready.ui.resultsTable.rowCount == 3


# Installing


def test_a_second_click_during_an_install_starts_no_second_one(ready, monkeypatch, quietDialogs):
    """pip's output runs processEvents, so buttons work while an install runs."""
    from MIASSAMSlicerLib import dependencies

    running = []

    def ensure(confirm, say):
        running.append(1)
        if len(running) == 1:
            ready.ui.installButton.click()
        return True

    monkeypatch.setattr(dependencies, "ensurePackages", ensure)
    ready.ui.installButton.click()
    assert running == [1]
    assert "being installed" in quietDialogs[0]


def test_a_failed_install_opens_one_error_box(ready, monkeypatch, quietDialogs):
    """Slicer 5.12's pip dialog opens an error box of its own."""
    from MIASSAMSlicerLib import dependencies

    class Packaging:
        @staticmethod
        def pip_ensure(requirements, show_progress=True, **options):
            if show_progress:
                slicer.util.errorDisplay("Package installation failed.")
            raise RuntimeError("no network")

    monkeypatch.setattr(dependencies, "_slicerPackaging", lambda: Packaging)
    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["rich>=13"])
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *arguments, **options: True)
    ready.ui.installButton.click()
    assert len(quietDialogs) == 1 and "rich>=13 could not be installed" in quietDialogs[0]


# Inputs


def test_the_first_volume_is_no_label_map_and_no_heat_map(panel, bank):
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "Labels")
    panel.initializeParameterNode()
    assert panel.parameters.inputVolume is None
    volume = addVolume()
    panel.initializeParameterNode()
    assert panel.parameters.inputVolume is volume


def test_a_heat_map_is_neither_listed_nor_taken_as_input(ready):
    from MIASSAMSlicerLib.errors import ModuleError
    from MIASSAMSlicerLib.volumes import checkVolume

    segment(ready)
    assert ready.ui.inputSelector.nodeCount() == 1
    with pytest.raises(ModuleError, match="heat map"):
        checkVolume(ready.results.heat)
    with pytest.raises(ModuleError, match="label map"):
        checkVolume(addLabelMap(np.ones((2, 3, 4), np.uint8), np.eye(4)))


# The worker


def openVolumes(panel):
    """Return which volumes the worker holds."""
    answers = []
    panel.jobs.worker.ask("hello", {}, answers.append)
    waitFor(lambda: answers)
    return answers[0]["volumes"]


def test_an_edited_volume_is_closed_in_the_worker(ready):
    segment(ready)
    for value in (180, 190):
        brighter = np.where(spots() > 100, value, 50).astype(np.float32)
        slicer.util.updateVolumeFromArray(ready.parameters.inputVolume, brighter)
        segment(ready)
    assert len(openVolumes(ready)) == 1


def test_a_deleted_volume_and_a_closed_scene_are_closed_in_the_worker(ready, bank):
    segment(ready)
    slicer.mrmlScene.RemoveNode(ready.parameters.inputVolume)
    assert openVolumes(ready) == []
    addVolume()
    ready.initializeParameterNode()
    segment(ready)
    slicer.mrmlScene.Clear(0)
    settle()
    assert openVolumes(ready) == []


def test_two_volumes_on_their_way_have_files_of_their_own(panel):
    session = panel.jobs.worker.session
    from MIASSAMSlicerLib.steps import runAll

    names = [runAll(session.saveArraySteps("volume", np.zeros((2, 3, 4)))) for _ in range(2)]
    assert len(set(names)) == 2 and all((session.folder / name).is_file() for name in names)


@pytest.mark.parametrize("way", ["no PythonSlicer", "a program that is not there"])
def test_a_worker_that_cannot_start_is_told(ready, monkeypatch, quietDialogs, way):
    from MIASSAMSlicerLib.errors import ModuleError

    def command(folder):
        if way == "no PythonSlicer":
            raise ModuleError("PythonSlicer was not found")
        return ["/nowhere/PythonSlicer", "-u"]

    monkeypatch.setattr(ready.jobs.worker, "_command", command)
    ready.ui.segmentButton.click()
    waitFor(lambda: quietDialogs and not ready.jobs.isBusy)
    assert "PythonSlicer was not found" in quietDialogs[0] or "ended unexpectedly" in quietDialogs[0]
    assert ready.ui.segmentButton.enabled


def test_a_drag_without_a_worker_puts_the_point_back(segmented, monkeypatch):
    from MIASSAMSlicerLib import cogPoints
    from MIASSAMSlicerLib.errors import ModuleError

    from .test_corrections import drag

    def command(folder):
        raise ModuleError("PythonSlicer was not found")

    segmented.jobs.close()
    monkeypatch.setattr(segmented.jobs.worker, "_command", command)
    position = cogPoints.worldPosition(segmented.results.points, 1)
    drag(segmented, 1, (20, 30, 3))
    settle()
    assert cogPoints.worldPosition(segmented.results.points, 1) == position
    assert segmented.ui.statusLabel.text == "PythonSlicer was not found"


# Card, self-test, banks


def test_the_help_text_leads_to_no_page_that_is_not_there(host, script):
    card = slicer.modules.miassam
    assert "example.org" not in card.helpText and slicer.app.documentationBaseUrl not in card.helpText
    assert "arxiv.org/abs/2505.22762" in card.helpText


def test_the_self_test_is_skipped_without_its_packages(script, scene, monkeypatch):
    from MIASSAMSlicerLib import dependencies

    monkeypatch.setattr(dependencies, "missingPackages", lambda: ["torch"])
    with pytest.raises(unittest.SkipTest, match="torch"):
        script.MIASSAMTest().runTest()


def test_a_slider_does_not_look_through_the_bank_folder(ready, monkeypatch):
    from MIASSAMSlicerLib import banks

    looked = []
    monkeypatch.setattr(banks, "listBanks", lambda: looked.append(1) or [])
    for value in (0.1, 0.2, 0.3):
        ready.ui.opacitySlider.value = value
    assert looked == []
