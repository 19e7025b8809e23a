"""Corrections by points and boxes: what they touch decodes its part of its slice again."""

from dataclasses import dataclass

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from . import anomalySegments, cogPoints, findingsTable, runs
from .cogPoints import PointLink
from .errors import ModuleError
from .undo import Change, UndoStack
from .volumes import ijkFromWorld, isInsideVolume, worldFromIjk


@dataclass(frozen=True)
class Part:
    """One anomaly on one slice, as its points prompt it, or a box given by two corners (i, j, k)."""

    sliceIndex: int
    lesion: int
    boxIjk: tuple | None = None


class PointCorrections(VTKObservationMixin):
    """Watches the points of a result.

    decode(results, part, onPart, onFailure) asks for a `Part` and answers onPart(thin voxels, answer).
    onMessage(text) tells the user; onChanged() says that something was done or undone.
    """

    def __init__(self, decode, onMessage, onChanged=lambda: None):
        VTKObservationMixin.__init__(self)
        self._decode, self._onMessage, self._onChanged = decode, onMessage, onChanged
        self.results = None
        self.placesOutside = False
        self.undoStack = UndoStack()
        self._known = {}
        self._isWriting = False
        self._busy = set()
        self._again = set()

    def watch(self, results):
        """Watch the points of these results, or of none."""
        self.removeObservers()
        self.undoStack.clear()
        self._busy, self._again, self.placesOutside = set(), set(), False
        self.results = results if results is not None and results.isComplete else None
        if self.results is None:
            return
        points, kind = self.results.points, slicer.vtkMRMLMarkupsNode
        self._known = cogPoints.snapshot(points)
        self.addObserver(points, kind.PointEndInteractionEvent, self._onPointsReleased)
        self.addObserver(points, kind.PointPositionDefinedEvent, self._onPointsReleased)
        self.addObserver(points, kind.PointRemovedEvent, self._onPointsReleased)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndBatchProcessEvent, self._onBatchEnd)

    @property
    def isBusy(self):
        """Tell whether a part is being decoded."""
        return bool(self._busy)

    def undo(self):
        """Take back the last correction; return whether there was one."""
        if not len(self.undoStack) or self.results is None:
            return False
        change = self.undoStack.pop()
        self._setSlices(change.slices)
        for segmentID, axis, index, before in reversed(change.parts):
            if self.results.segmentation.GetSegmentation().GetSegment(segmentID) is not None:
                self._replace(segmentID, axis, index, before)
        with _Writing(self):
            cogPoints.restore(self.results.points, change.points)
        self._onChanged()
        return True

    def correctByBox(self, cornersIjk):
        """Outline what is in a box on a slice: two corners (i, j, k), both on that slice."""
        corners, axis = np.asarray(cornersIjk, float), self.results.sliceAxis
        center = corners.mean(0)
        if not isInsideVolume(self.results.inputVolume, center):
            self._refuseOutside(_("The box is outside the volume '{name}'. Draw it inside the image."))
            return
        sliceIndex = int(round(center[axis]))
        lesion = self._lesionInBox(sliceIndex, corners) or self._newLesion()
        self._correct(Part(sliceIndex, lesion, tuple(map(tuple, corners.tolist()))), dict(self._known))

    def removeLesion(self, lesion):
        """Take a lesion out of the results, on all its slices; one undo brings it back."""
        results, before, record = self.results, dict(self._known), self.results.record
        segmentation, volume, axis = results.segmentation, results.inputVolume, results.sliceAxis
        segmentID, parts = anomalySegments.ownSegments(segmentation)[lesion], []
        for index in anomalySegments.slicesOf(segmentation, segmentID, volume, axis):
            old = anomalySegments.replaceSlicePart(segmentation, segmentID, volume, axis, index, 0)
            parts.append((segmentID, axis, index, old))
        for each in record["slices"]:
            results.record = runs.withFinding(results.record, each["index"], lesion, None)
        findingsTable.updateSegment(results, segmentID)
        with _Writing(self):
            kept = {key: state for key, state in before.items() if state.link.lesion != lesion}
            cogPoints.restore(results.points, kept)
        self.undoStack.push(Change(before, record["slices"], tuple(parts)))
        self._onChanged()

    def resetSlice(self, sliceIndex):
        """Bring back the points and outlines that a slice had before its corrections; return whether it had any."""
        touched = self.undoStack.before(sliceIndex)
        if self.results is None or not touched.parts:
            return False
        now, points, slices = dict(self._known), touched.points, self.results.record["slices"]
        others = [each for each in slices if each["index"] != sliceIndex]
        own = [each for each in touched.slices if each["index"] == sliceIndex]
        self._setSlices(sorted([*others, *own], key=lambda each: each["index"]))
        parts = tuple(
            (segmentID, axis, index, self._replace(segmentID, axis, index, before))
            for segmentID, axis, index, before in touched.parts
        )
        kept = [state for state in now.values() if state.link.sliceIndex != sliceIndex]
        back = [state for state in points.values() if state.link.sliceIndex == sliceIndex]
        with _Writing(self):
            cogPoints.restore(self.results.points, dict(enumerate([*kept, *back])))
        self.undoStack.push(Change(now, slices, parts))
        self._onChanged()
        return True

    def _onPointsReleased(self, _caller=None, _event=None):
        if self._isWriting or self.results is None or slicer.mrmlScene.IsBatchProcessing():
            return
        before = dict(self._known)
        with _Writing(self):
            touched = self._acceptPoints(before)
        for part in sorted(touched):
            self._correct(Part(*part), before)

    def _onBatchEnd(self, _caller=None, _event=None):
        """A run or a scene event has written the points: that was no correction."""
        if self.results is not None:
            self._known = cogPoints.snapshot(self.results.points)

    def _acceptPoints(self, before):
        """Check every point against what was known; return the (slice, lesion) parts they touch."""
        points, touched, seen = self.results.points, set(), set()
        for index in reversed(range(points.GetNumberOfControlPoints())):
            if not cogPoints.isPlaced(points, index):
                continue
            pointID = points.GetNthControlPointID(index)
            seen.add(pointID)
            link = self._acceptPoint(index, before.get(pointID))
            if link is not None:
                touched.add((link.sliceIndex, link.lesion))
        gone = [state.link for pointID, state in before.items() if pointID not in seen]
        return touched | {(link.sliceIndex, link.lesion) for link in gone}

    def _acceptPoint(self, index, old):
        """Take over one point; return its link when it is new or has moved."""
        points = self.results.points
        position = cogPoints.worldPosition(points, index)
        if old is not None and position == old.position:
            return None
        ijk = ijkFromWorld(self.results.inputVolume, position)
        if not isInsideVolume(self.results.inputVolume, ijk):
            self._refuse(index, old)
            return None
        link = old.link if old is not None else self._linkNewPoint(ijk)
        ijk[self.results.sliceAxis] = link.sliceIndex  # a point stays on its slice
        points.SetNthControlPointPositionWorld(index, *worldFromIjk(self.results.inputVolume, ijk))
        cogPoints.describePoint(points, index, old.label if old else cogPoints.pointLabel(link), link)
        return link

    def _refuse(self, index, old):
        points = self.results.points
        if old is None:
            pointID = points.GetNthControlPointID(index)
            qt.QTimer.singleShot(0, lambda: self._removePoint(points, pointID))  # the view still works with it
        else:
            points.SetNthControlPointPositionWorld(index, *old.position)
        self._refuseOutside(_("The point is outside the volume '{name}' and was put back. Place it inside the image."))

    def _removePoint(self, points, pointID):
        index = points.GetControlPointIndexByID(pointID)
        if self.results is not None and self.results.points is points and index >= 0:
            with _Writing(self):
                points.RemoveNthControlPoint(index)

    def _refuseOutside(self, text):
        self._onMessage(text.format(name=self.results.inputVolume.GetName()))

    def _linkNewPoint(self, ijk):
        sliceIndex = int(round(ijk[self.results.sliceAxis]))
        lesion = cogPoints.nearestLesion(self.results.points, self.results.inputVolume, sliceIndex, ijk)
        if lesion is None:  # a slice without points: the part joins the first lesion
            lesion = min(anomalySegments.ownSegments(self.results.segmentation), default=1)
        isInside, self.placesOutside = not self.placesOutside, False
        return PointLink(sliceIndex, lesion, isInside)

    def _lesionInBox(self, sliceIndex, corners):
        """Return the lesion that has a point in the box, None where there is none."""
        low, high = corners.min(0) - 0.5, corners.max(0) + 0.5
        for state in self._known.values():
            ijk = ijkFromWorld(self.results.inputVolume, state.position)
            if state.link.sliceIndex == sliceIndex and (ijk >= low).all() and (ijk <= high).all():
                return state.link.lesion
        return None

    def _newLesion(self):
        return max(anomalySegments.ownSegments(self.results.segmentation), default=0) + 1

    def _correct(self, part, before):
        if part in self._busy:
            self._again.add(part)
            return
        _ijk, labels = cogPoints.promptsOf(self.results.points, self.results.inputVolume, part.sliceIndex, part.lesion)
        if part.boxIjk is None and 1 not in labels:
            self._write(part, None, before)
            return
        self._busy.add(part)
        results = self.results
        self._onChanged()

        def onPart(thin, answer):
            if self.results is results:
                self._finish(part, before, thin, answer)

        def onFailure(error):
            if self.results is results:
                self._fail(part, before, error)

        try:
            self._decode(results, part, onPart, onFailure)
        except ModuleError as error:  # the child cannot be started
            onFailure(error)

    def _finish(self, part, before, thin, answer):
        self._busy.discard(part)
        if part.boxIjk is not None:
            self._markBox(part, answer)
        self._write(part, thin, before, answer)
        if part in self._again:
            self._again.discard(part)
            self._correct(part, cogPoints.snapshot(self.results.points))

    def _markBox(self, part, answer):
        """Put one point where the center of what the box outlined is, so that it can be corrected further."""
        link = PointLink(part.sliceIndex, part.lesion)
        points = self.results.points
        position = tuple(worldFromIjk(self.results.inputVolume, answer["cog_ijk"]))
        with _Writing(self):
            for index in reversed(range(points.GetNumberOfControlPoints())):
                known = cogPoints.linkOf(points, index)
                if known is not None and (known.sliceIndex, known.lesion) == (part.sliceIndex, part.lesion):
                    points.RemoveNthControlPoint(index)
            cogPoints.addPoint(points, cogPoints.PointState(position, cogPoints.pointLabel(link), link))

    def _fail(self, part, before, error):
        self._busy.discard(part)
        self._again.discard(part)
        with _Writing(self):
            cogPoints.restore(self.results.points, before)
        self._onChanged()
        self._onMessage(str(error))

    def _write(self, part, thin, before, answer=None):
        """Put a decoded part, or nothing, into the lesion's segment on its slice, and into the record."""
        own = anomalySegments.ownSegments(self.results.segmentation)
        if part.lesion not in own and thin is None:
            self._onChanged()
            return
        segmentID = own.get(part.lesion) or anomalySegments.addLesionSegment(self.results.segmentation, part.lesion)
        axis, record = self.results.sliceAxis, self.results.record
        self.results.record = runs.withFinding(record, part.sliceIndex, part.lesion, answer)
        old = self._replace(segmentID, axis, part.sliceIndex, 0 if thin is None else thin)
        self.undoStack.push(Change(before, record["slices"], ((segmentID, axis, part.sliceIndex, old),)))
        self._onChanged()

    def _setSlices(self, slices):
        self.results.record = {**self.results.record, "slices": slices}

    def _replace(self, segmentID, axis, sliceIndex, thin):
        results = self.results
        before = anomalySegments.replaceSlicePart(
            results.segmentation, segmentID, results.inputVolume, axis, sliceIndex, thin
        )
        findingsTable.updateSegment(results, segmentID)
        return before


class _Writing:
    """Changes of our own are no corrections; afterwards the points are known as they are."""

    def __init__(self, corrections):
        self._corrections = corrections

    def __enter__(self):
        self._wasWriting, self._corrections._isWriting = self._corrections._isWriting, True

    def __exit__(self, *_details):
        self._corrections._isWriting = self._wasWriting
        self._corrections._known = cogPoints.snapshot(self._corrections.results.points)
