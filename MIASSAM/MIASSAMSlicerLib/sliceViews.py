"""Show results in the views: heat over the input, and jumps to a point."""

import slicer
import vtk

from .heatMap import showLegend
from .volumes import ijkToWorld


def showResults(results, opacity, isFirst=True):
    """Show input, heat map and segments in all slice views; only a volume's first results may move the views."""
    slicer.util.setSliceViewerLayers(
        background=results.inputVolume, foreground=results.heat, foregroundOpacity=opacity
    )
    showLegend(results.heat)
    results.segmentation.SetDisplayVisibility(True)
    results.points.SetDisplayVisibility(True)
    if isFirst:
        if isOblique(results.inputVolume):
            alignViews(results.inputVolume)
        fitViews()


def setHeatOpacity(opacity, heat):
    """Blend the heat map over the image in the slice views that show it."""
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if composite.GetForegroundVolumeID() == heat.GetID():
            composite.SetForegroundOpacity(opacity)


def isOblique(volumeNode, tolerance=1e-3):
    """Tell whether the volume's axes run beside the patient's; its points would fall between view slices."""
    matrix = ijkToWorld(volumeNode)[:3, :3]
    matrix = abs(matrix / (matrix**2).sum(0) ** 0.5)
    return bool((matrix.max(0) < 1 - tolerance).any())


def alignViews(volumeNode):
    """Turn every slice view to the volume's own planes."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.RotateToVolumePlane(volumeNode)


def fitViews():
    """Fit the slice views to the image where there are views."""
    layout = slicer.app.layoutManager()
    if layout is not None:
        layout.resetSliceViews()


def jumpTo(position):
    """Move every slice view to the slice of a world position; a view that would not show it is centered on it."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        if isInSight(node, position):
            node.JumpSliceByOffsetting(*position)
        else:
            node.JumpSliceByCentering(*position)


def isInSight(sliceNode, position):
    """Tell whether a world position, brought onto the view's plane, lies within its window."""
    toWindow = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(sliceNode.GetXYToRAS(), toWindow)
    place = toWindow.MultiplyPoint((*position, 1.0))
    return all(0 <= place[axis] < sliceNode.GetDimensions()[axis] for axis in (0, 1))


def startPlacing(markups):
    """Let the user click one new point, or draw one box, in a slice view."""
    selection = slicer.mrmlScene.GetNodeByID("vtkMRMLSelectionNodeSingleton")
    selection.SetReferenceActivePlaceNodeClassName(markups.GetClassName())
    selection.SetActivePlaceNodeID(markups.GetID())
    interaction = slicer.mrmlScene.GetNodeByID("vtkMRMLInteractionNodeSingleton")
    interaction.SetPlaceModePersistence(0)
    interaction.SetCurrentInteractionMode(interaction.Place)


def openSegmentEditor(results):
    """Go on in Slicer's Segment Editor, with the segmentation and its volume chosen."""
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(results.segmentation)
    editor.setSourceVolumeNode(results.inputVolume)
