"""A box drawn on a slice: a Markups ROI that lives from the first click to the second."""

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .sliceViews import startPlacing
from .volumes import ijkFromWorld, ijkToWorld

LEAST_COSINE = 0.9
"""The box must be drawn in a view that shows the slices; another one would leave its height to chance."""


class BoxPrompt(VTKObservationMixin):
    """Lets the user draw one box; onBox(two corners (i, j, k)), onMessage(text)."""

    def __init__(self, onBox, onMessage):
        VTKObservationMixin.__init__(self)
        self._onBox, self._onMessage = onBox, onMessage
        self._node, self._results = None, None

    @property
    def isDrawing(self):
        return self._node is not None

    def start(self, results):
        """Ask for two opposite corners on a slice."""
        self.stop()
        self._results = results
        node = slicer.vtkMRMLMarkupsROINode()
        node.SetName(_("MIASSAM box"))
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self._node = slicer.mrmlScene.AddNode(node)
        self._node.CreateDefaultDisplayNodes()
        self._node.GetDisplayNode().SetPointLabelsVisibility(False)
        self.addObserver(self._node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._onCorner)
        startPlacing(self._node)

    def stop(self):
        """Forget a box that was begun."""
        self.removeObservers()
        node, self._node = self._node, None
        if node is not None and node.GetScene() is not None:
            slicer.mrmlScene.RemoveNode(node)

    def _onCorner(self, _caller=None, _event=None):
        size = [0.0, 0.0, 0.0]
        self._node.GetSizeWorld(size)
        if not any(size):  # the first corner
            return
        self.removeObservers()
        node = self._node
        qt.QTimer.singleShot(0, lambda: self._take(node, size))  # the view still works with the node

    def _take(self, node, size):
        if node is not self._node or node.GetScene() is None:  # stopped meanwhile
            return
        corners, isOnSlice = boxOnSlice(node, size, self._results)
        self.stop()
        if isOnSlice:
            self._onBox(corners)
        else:
            self._onMessage(_("Draw the box in the view that shows the volume's slices, corner to corner."))


def boxOnSlice(roi, size, results):
    """Return two corners (i, j, k) of a drawn box on its slice, and whether it was drawn on a slice."""
    volume, axis = results.inputVolume, results.sliceAxis
    toWorld = slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix())
    half = np.asarray(size) / 2
    signs = np.stack(np.meshgrid(*[(-1, 1)] * 3), -1).reshape(-1, 3)
    world = (signs * half) @ toWorld[:3, :3].T + toWorld[:3, 3]
    ijk = np.array([ijkFromWorld(volume, position) for position in world])
    corners = np.array([ijk.min(0), ijk.max(0)])
    corners[:, axis] = round(float(corners[:, axis].mean()))
    normal, slices = toWorld[:3, 2], ijkToWorld(volume)[:3, axis]
    cosine = abs(normal @ slices) / (np.linalg.norm(normal) * np.linalg.norm(slices))
    inPlane = np.delete(corners[1] - corners[0], axis)
    return corners, bool(cosine > LEAST_COSINE and (inPlane >= 1).all())
