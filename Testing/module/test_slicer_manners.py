"""What Slicer does otherwise than a friendlier host would: each test is named for a defect it would have shown."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor
from slicer_host.mouse import Mouse

from .conftest import addVolume
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


def test_no_observer_of_the_wrapper_outlives_the_panel(script, scene):
    """The wrapper of Slicer 5.10 adds one in connectGui and removes none in disconnectGui."""
    from MIASSAMSlicerLib.parameters import connectGui

    called = []

    class Wrapper:
        parameterNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")

        def AddObserver(self, event, callback, priority=0.0):
            return self.parameterNode.AddObserver(event, callback, priority)

        def connectGui(self, gui):
            self.AddObserver("ModifiedEvent", lambda caller, event: called.append(gui))
            return 7

        def disconnectGui(self, tag):
            assert tag == 7

    disconnect = connectGui(Wrapper(), "panel")
    Wrapper.parameterNode.Modified()
    assert called == ["panel"]
    disconnect()
    Wrapper.parameterNode.Modified()
    assert called == ["panel"]
