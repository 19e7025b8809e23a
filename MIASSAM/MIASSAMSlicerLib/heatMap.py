"""The heat map: a scalar volume in the input's voxels, shown over it in its own colors."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from .resultNodes import HEAT, ensureResultNode, followTransform
from .steps import FINAL, runAll
from .units import CALIBRATED_UNIT, legendTitle

COLOR_TABLE_TAG = "MIASSAMHeat"
COLOR_COUNT = 256
# Dark red to pale yellow; lightness grows along the way, so that order reads without a legend.
_ANCHORS = (
    (0.0, (0.24, 0.02, 0.22)),
    (0.25, (0.60, 0.06, 0.26)),
    (0.5, (0.89, 0.25, 0.15)),
    (0.75, (0.98, 0.60, 0.10)),
    (1.0, (1.00, 0.96, 0.62)),
)
NORMAL_UPPER_LIMIT = 3.0
"""Below this many standard deviations a calibrated map is not shown: it is normal."""
LEAST_BRIGHTEST = 6.0
"""The brightest color stands for no less than this, so that what is barely unusual does not shine."""
_HIDDEN_SHARE = 97.0
"""Percentile of an uncalibrated map below which it is not shown."""
_LEAST_SHARE_OF_HIGHEST = 0.05
STEP_VOXELS = 8_000_000
"""How much is written before the window gets a turn."""
_SAMPLE_SIZE = 200_000
"""Voxels from which that percentile is taken: a full volume would make the window wait."""


def heatColors():
    """Return the color table, float (256, 3) in [0, 1]."""
    positions = np.linspace(0, 1, COLOR_COUNT)
    anchors = [position for position, _color in _ANCHORS]
    return np.stack(
        [np.interp(positions, anchors, [color[channel] for _position, color in _ANCHORS]) for channel in range(3)],
        axis=1,
    )


def ensureColorTable():
    """Return the scene's heat color table."""
    table = slicer.mrmlScene.GetSingletonNode(COLOR_TABLE_TAG, "vtkMRMLColorTableNode")
    if table is not None:
        return table
    table = slicer.vtkMRMLColorTableNode()
    table.SetSingletonTag(COLOR_TABLE_TAG)
    table.SetTypeToUser()
    table.SetName("MIASSAM heat")
    table.SetNumberOfColors(COLOR_COUNT)
    for index, (red, green, blue) in enumerate(heatColors()):
        table.SetColor(index, f"{index}", red, green, blue, 1.0)
    table = slicer.mrmlScene.AddNode(table)
    table.AddDefaultStorageNode()
    return table


def writeHeatMap(inputVolume, heatKji, unit):
    """Write the heat map of an input into its node and return the node."""
    return runAll(writeHeatMapSteps(inputVolume, heatKji, unit))


def writeHeatMapSteps(inputVolume, heatKji, unit):
    """Write the heat map of an input, a few slices in each step; return its node."""
    image = vtk.vtkImageData()
    image.SetDimensions(*reversed(heatKji.shape))
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    voxels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(heatKji.shape)
    slices = max(1, STEP_VOXELS // max(1, heatKji[:1].size))
    for first in range(0, len(heatKji), slices):
        voxels[first : first + slices] = heatKji[first : first + slices]
        yield FINAL
    low, high = shownRange(heatKji, unit)
    yield FINAL
    heat = ensureResultNode(inputVolume, HEAT, _("{name} anomaly heat").format(name=inputVolume.GetName()))
    matrix = vtk.vtkMatrix4x4()
    inputVolume.GetIJKToRASMatrix(matrix)
    wasModified = heat.StartModify()
    styleHeatMap(heat, low, high)  # before it has voxels: else Slicer would look through all of them for a window
    heat.SetIJKToRASMatrix(matrix)
    heat.SetAndObserveImageData(image)
    followTransform(heat, inputVolume)
    heat.SetAttribute("MIASSAM.Unit", unit)
    heat.EndModify(wasModified)
    return heat


def shownRange(heatKji, unit):
    """Return the values at which the overlay starts and where its colors end."""
    highest = float(np.nanmax(heatKji, initial=0.0))
    if unit == CALIBRATED_UNIT:
        return NORMAL_UPPER_LIMIT, max(highest, LEAST_BRIGHTEST)
    sample = heatKji.ravel()[:: max(1, heatKji.size // _SAMPLE_SIZE)]
    low = max(float(np.percentile(sample, _HIDDEN_SHARE)), highest * _LEAST_SHARE_OF_HIGHEST, 1e-6)
    return low, max(highest, low * 1.2)


def styleHeatMap(heat, low, high):
    """Give the heat map its colors, and hide what is normal."""
    if heat.GetDisplayNode() is None:
        heat.CreateDefaultDisplayNodes()
    display = heat.GetDisplayNode()
    wasModified = display.StartModify()
    display.SetAndObserveColorNodeID(ensureColorTable().GetID())
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(low, high)
    display.AutoThresholdOff()
    display.SetThreshold(low, high * 1e6)
    display.ApplyThresholdOn()
    display.InterpolateOn()
    display.EndModify(wasModified)


def showLegend(heat):
    """Show the color legend of a heat map, with its unit."""
    legend = slicer.modules.colors.logic().AddDefaultColorLegendDisplayNode(heat)
    if legend is not None:
        unit = heat.GetAttribute("MIASSAM.Unit") or ""
        legend.SetTitleText(legendTitle(unit))
        legend.SetLabelFormat("%.1f" if unit == CALIBRATED_UNIT else "%.3g")
        legend.SetSize(0.06, 0.3)
        legend.SetPosition(0.99, 0.02)
        legend.SetNumberOfLabels(3)
        for text in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
            text.SetFontFamilyToArial()
            text.SetShadow(True)
        legend.SetVisibility(True)
    return legend
