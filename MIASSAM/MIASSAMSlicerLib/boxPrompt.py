"""A box drawn on a slice: a Markups ROI that lives from the first click to the second."""

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from .cogPoints import worldPosition
from .sliceViews import startPlacing
from .volumes import ijkFromWorld

LARGEST_TILT = 1.0
"""How many slices two corners may lie apart: the box must be drawn in a view that shows the slices."""


class BoxPrompt(VTKObservationMixin):
    """Lets the user draw one box; onBox(two corners (i, j, k)), onMessage(text)."""

    def __init__(self, onBox, onMessage):
        VTKObservationMixin.__init__(self)
        self._onBox, self._onMessage = onBox, onMessage
        self._node, self._results, self._first, self._taker = None, None, None, onBox

    @property
    def isDrawing(self):
        return self._node is not None

    def start(self, results, onBox=None):
        """Ask for two opposite corners on a slice; onBox: who takes this box instead."""
        self.stop()
        self._results, self._taker = results, onBox or self._onBox
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
        if not any(size):
            self._first = np.array(worldPosition(self._node, 0))
            return
        self.removeObservers()
        node = self._node
        qt.QTimer.singleShot(0, lambda: self._take(node))  # the view still works with the node

    def _take(self, node):
        if node is not self._node or node.GetScene() is None:  # stopped meanwhile
            return
        center = [0.0, 0.0, 0.0]
        node.GetCenterWorld(center)
        corners, isOnSlice = boxOnSlice(self._results, self._first, 2 * np.array(center) - self._first)
        self.stop()
        if isOnSlice:
            self._taker(corners)
        else:
            self._onMessage(_("Draw the box in the view that shows the volume's slices, corner to corner."))


def boxOnSlice(results, first, second):
    """Return two world corners as voxel indexes (i, j, k) low and high, and whether they span a box on one slice."""
    axis = results.sliceAxis
    ijk = np.array([ijkFromWorld(results.inputVolume, corner) for corner in (first, second)])
    corners = np.array([ijk.min(0), ijk.max(0)])
    sides = corners[1] - corners[0]
    corners[:, axis] = round(float(corners[:, axis].mean()))
    return corners, bool(sides[axis] < LARGEST_TILT and (np.delete(sides, axis) >= 1).all())
