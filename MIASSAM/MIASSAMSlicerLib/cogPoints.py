"""The points of a result: the center of gravity of each part, and the user's own.

Each control point says in its description which slice and lesion it prompts and whether it is inside
(positive) or outside (negative). The description travels with the point through save and reload.
"""

import re
from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from .resultNodes import POINTS, ensureResultNode, followTransform
from .units import scoreWithUnit
from .volumes import ijkFromWorld, worldFromIjk

_DESCRIPTION = re.compile(r"slice=(-?\d+) lesion=(\d+) (inside|outside)")


@dataclass(frozen=True)
class PointLink:
    """What a point prompts."""

    sliceIndex: int
    lesion: int
    isInside: bool = True

    @property
    def text(self):
        return f"slice={self.sliceIndex} lesion={self.lesion} {'inside' if self.isInside else 'outside'}"

    @classmethod
    def parse(cls, text):
        """Read a description; None where it is not ours."""
        match = _DESCRIPTION.fullmatch(text or "")
        return cls(int(match[1]), int(match[2]), match[3] == "inside") if match else None


@dataclass(frozen=True)
class PointState:
    """A control point as it was, to go back to."""

    position: tuple
    label: str
    link: PointLink


def ensurePoints(inputVolume):
    """Return the markups node of an input."""
    node = ensureResultNode(inputVolume, POINTS, _("{name} anomaly centers").format(name=inputVolume.GetName()))
    followTransform(node, inputVolume)
    node.SetMaximumNumberOfControlPoints(-1)
    node.SetControlPointLabelFormat("?")
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        styleDisplay(node.GetDisplayNode())
    return node


def styleDisplay(display):
    """A point is drawn on its own slice only; points outside a lesion are red.

    Labels are hidden: across the slices the points lie so close that their labels would cover one another and the
    lesion. Slice and score are in the table of the panel and in the Markups module.
    """
    display.SetSelectedColor(1.0, 1.0, 1.0)
    display.SetColor(1.0, 0.2, 0.2)
    display.SetActiveColor(0.4, 1.0, 0.4)
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(1.6)
    display.SetTextScale(2.6)
    display.SetSliceProjection(False)
    display.SetPointLabelsVisibility(False)


def pointLabel(link, score=None, unit=""):
    """Name a point by its slice and score."""
    if score is None:
        return _("slice {index}").format(index=link.sliceIndex)
    return _("slice {index}: {score}").format(index=link.sliceIndex, score=scoreWithUnit(score, unit))


def writeCogPoints(points, inputVolume, slices, unit):
    """Replace all points by the centers of gravity of the findings."""
    points.RemoveAllControlPoints()
    for result in slices:
        for finding in result["findings"]:
            link = PointLink(result["index"], finding["lesion"])
            position = tuple(worldFromIjk(inputVolume, finding["cog_ijk"]))
            addPoint(points, PointState(position, pointLabel(link, finding["score"], unit), link))


def addPoint(points, state):
    """Add a control point and return its index."""
    index = points.AddControlPointWorld(*state.position)
    describePoint(points, index, state.label, state.link)
    return index


def describePoint(points, index, label, link):
    """Write label, link and color of a control point."""
    points.SetNthControlPointLabel(index, label)
    points.SetNthControlPointDescription(index, link.text)
    points.SetNthControlPointSelected(index, link.isInside)


def worldPosition(points, index):
    """Return the world position of a control point."""
    position = [0.0, 0.0, 0.0]
    points.GetNthControlPointPositionWorld(index, position)
    return tuple(position)


def isPlaced(points, index):
    """Tell whether a control point has a position (a preview point has not)."""
    return points.GetNthControlPointPositionStatus(index) == slicer.vtkMRMLMarkupsNode.PositionDefined


def linkOf(points, index):
    """Return what a control point prompts; None where the user has just placed it."""
    return PointLink.parse(points.GetNthControlPointDescription(index))


def snapshot(points):
    """Return control point id -> state of every linked point."""
    states = {}
    for index in range(points.GetNumberOfControlPoints()):
        link = linkOf(points, index)
        if link is not None and isPlaced(points, index):
            states[points.GetNthControlPointID(index)] = PointState(
                worldPosition(points, index), points.GetNthControlPointLabel(index), link
            )
    return states


def restore(points, states):
    """Bring back the points of a snapshot; the ids are new."""
    points.RemoveAllControlPoints()
    for state in states.values():
        addPoint(points, state)


def promptsOf(points, inputVolume, sliceIndex, lesion):
    """Return voxel indexes (T, 3) and labels 1, 0 of the points of one part; inside points first."""
    ijk, labels = [], []
    for state in snapshot(points).values():
        if state.link.sliceIndex == sliceIndex and state.link.lesion == lesion:
            ijk.append(ijkFromWorld(inputVolume, state.position))
            labels.append(int(state.link.isInside))
    order = np.argsort([-label for label in labels], kind="stable")
    return [ijk[n].tolist() for n in order], [labels[n] for n in order]


def nearestLesion(points, inputVolume, sliceIndex, ijk):
    """Return the lesion whose point on this slice is nearest; None where the slice has none."""
    distances = [
        (float(np.linalg.norm(ijkFromWorld(inputVolume, state.position) - ijk)), state.link.lesion)
        for state in snapshot(points).values()
        if state.link.sliceIndex == sliceIndex
    ]
    return min(distances)[1] if distances else None
