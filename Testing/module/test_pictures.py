"""What the views show, drawn by Slicer's displayable managers: colors where they should be, and absent elsewhere."""

import numpy as np
import pytest
import slicer
from slicer_host.events import settle

from .conftest import addVolume, spots
from .test_corrections import drag, voxelsOf, waitUntilDone
from .test_logic import linearTransform, turned
from .test_panel import segment

CYAN, GREEN = (0.10, 0.85, 0.95), (0.60, 0.95, 0.25)  # the first two segment colors
WHITE = (1.0, 1.0, 1.0)


def near(picture, color, tolerance=45):
    """Return bool (height, width): pixels about this color."""
    return (np.abs(picture.astype(int) - (np.array(color) * 255).astype(int)) < tolerance).all(-1)


def colored(picture):
    """Return bool (height, width): pixels that are not grey."""
    return np.ptp(picture.astype(int), axis=-1) > 40


def show(views, name, ras):
    """Center a view on a position and draw it."""
    from MIASSAMSlicerLib import sliceViews

    sliceViews.jumpTo(ras)
    settle()
    view = views.sliceViews[name]
    return view, view.array()


def box(picture, center, half):
    column, row = center
    return picture[max(0, row - half) : row + half, max(0, column - half) : column + half]


@pytest.fixture
def shown(ready, views):
    display = ready.parameters.inputVolume.GetDisplayNode()
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 250)
    segment(ready)
    views.resetSliceViews()
    return ready


def centerOf(panel, ijk):
    from MIASSAMSlicerLib import volumes

    return volumes.worldFromIjk(panel.results.inputVolume, ijk)


def test_the_slice_shows_image_heat_outline_and_point(shown, views):
    ras = centerOf(shown, (10.5, 12.5, 3))
    view, picture = show(views, "Red", ras)
    spot = box(picture, view.pixelOf(ras), 40)
    assert colored(spot).sum() > 300, "the heat map lies over the spot"
    assert near(spot, CYAN).sum() > 40, "the outline is drawn"
    assert near(spot, WHITE).sum() > 5, "the point is drawn"
    far = centerOf(shown, (25, 5, 3))
    grey = box(picture, view.pixelOf(far), 12)
    assert not colored(grey).any(), "normal tissue is not covered"
    assert 20 < grey.mean() < 235, "and can be read"


def test_the_point_is_drawn_on_its_own_slice_only(shown, views):
    ras = centerOf(shown, (10.5, 12.5, 2))
    view, on = show(views, "Red", ras)
    _, off = show(views, "Red", centerOf(shown, (10.5, 12.5, 0)))
    column, row = view.pixelOf(ras)
    assert near(box(on, (column, row), 30), WHITE).sum() > 5
    assert near(box(off, (column, row), 30), WHITE).sum() == 0
    assert not near(off, CYAN).any() and not near(off, GREEN).any(), "no outline on a normal slice"


def test_the_legend_is_drawn(shown, views):
    _, picture = show(views, "Red", centerOf(shown, (25, 5, 0)))
    legend = picture[:, -110:]
    assert colored(legend).sum() > 200
    for node in slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode"):
        node.SetVisibility(False)
    _, without = show(views, "Red", centerOf(shown, (25, 5, 0)))
    assert colored(without[:, -110:]).sum() == 0


def test_the_legend_stays_at_the_border_and_no_label_covers_the_image(shown, views):
    _, picture = show(views, "Red", centerOf(shown, (25, 5, 0)))
    inner = picture[:, : int(picture.shape[1] * 0.86)]
    assert not near(inner, WHITE, 20).any() and not colored(inner).any()
    assert not shown.results.points.GetDisplayNode().GetPointLabelsVisibility()


def test_opacity_nought_shows_the_bare_image(shown, views):
    shown.ui.opacitySlider.value = 0.0
    shown.results.segmentation.SetDisplayVisibility(False)
    shown.results.points.SetDisplayVisibility(False)
    ras = centerOf(shown, (10.5, 12.5, 3))
    view, picture = show(views, "Red", ras)
    assert not colored(box(picture, view.pixelOf(ras), 40)).any()


@pytest.mark.parametrize("name", ["Red", "Yellow", "Green"])
def test_heat_and_outline_lie_over_the_spot_in_every_view_of_an_oblique_transformed_volume(ready, views, name):
    from MIASSAMSlicerLib import volumes

    volume = ready.parameters.inputVolume
    volume.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(turned(flips=(1, -1, 1))))
    volume.SetAndObserveTransformNodeID(linearTransform(turned(30.0, (1, 1, 1))).GetID())
    segment(ready)
    ras = centerOf(ready, (38.5, 27.0, 3))
    view, picture = show(views, name, ras)
    normal = slicer.util.arrayFromVTKMatrix(view.node.GetSliceToRAS())[:3, 2]
    axes = volumes.ijkToWorld(volume)[:3, :3]
    cosines = np.abs(normal @ (axes / np.linalg.norm(axes, axis=0)))
    assert cosines.max() > 0.999, "the view is turned to the volume, so that its points lie on view slices"
    spot = box(picture, view.pixelOf(ras), 14)
    assert colored(spot).mean() > 0.3
    ready.results.heat.SetDisplayVisibility(False)
    assert near(box(picture, view.pixelOf(ras), 60), GREEN).sum() > 15
    bright = picture.max(-1) > 160
    outside = bright & ~colored(picture)
    assert outside[: picture.shape[0] * 3 // 4, : picture.shape[1] - 110].mean() < 0.02, (
        "no bright tissue is left uncovered"
    )


def test_a_correction_is_seen(shown, views):
    target = centerOf(shown, (20, 30, 3))
    view, before = show(views, "Red", target)
    drag(shown, 1, (20, 30, 3))
    waitUntilDone(shown)
    _, after = show(views, "Red", target)
    place = view.pixelOf(target)
    assert near(box(before, place, 25), CYAN).sum() == 0
    assert near(box(after, place, 25), CYAN).sum() > 30
    assert voxelsOf(shown)[0][3].sum() == 25


def test_the_3d_view_shows_points_and_a_surface(shown, views):
    shown.results.segmentation.CreateClosedSurfaceRepresentation()
    views.resetThreeDViews()
    picture = views.threeDView.array()
    assert near(picture, CYAN, 90).sum() > 50
    shown.results.segmentation.SetDisplayVisibility(False)
    assert near(views.threeDView.array(), CYAN, 60).sum() == 0


def test_the_heat_colors_are_ordered_by_lightness(script):
    from MIASSAMSlicerLib.heatMap import heatColors

    linear = np.where(heatColors() <= 0.04045, heatColors() / 12.92, ((heatColors() + 0.055) / 1.055) ** 2.4)
    lightness = np.cbrt(linear @ [0.2126, 0.7152, 0.0722])
    assert (np.diff(lightness) > 0).all()
    assert lightness[-1] - lightness[0] > 0.5


def test_normal_heat_is_hidden_and_units_are_stated(logic, scene, bank):
    from MIASSAMSlicerLib import heatMap

    volume = addVolume()
    z = np.zeros(spots().shape, np.float32)
    z[0], z[3, 10:16, 8:14] = 2.9, 8.0
    heat = heatMap.writeHeatMap(volume, z, heatMap.CALIBRATED_UNIT)
    display = heat.GetDisplayNode()
    assert display.GetApplyThreshold() and display.GetLowerThreshold() == 3.0
    assert display.GetWindowLevelMax() == pytest.approx(8.0)
    assert heatMap.showLegend(heat).GetTitleText() == "SD"
    barely = heatMap.writeHeatMap(volume, np.minimum(z, 3.2), heatMap.CALIBRATED_UNIT)
    assert barely.GetDisplayNode().GetWindowLevelMax() == pytest.approx(6.0), "what is barely unusual does not shine"
