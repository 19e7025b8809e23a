"""The segments of the anomalies: written, told from the user's own, changed on one slice."""

import hashlib

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from . import segmentVoxels
from .errors import EditedSegmentsError
from .resultNodes import SEGMENTATION, claimSegmentation, ensureResultNode, followTransform
from .steps import FINAL

LESION_TAG = "MIASSAM.Lesion"
DIGEST_TAG = "MIASSAM.Digest"
TERMINOLOGY = (
    "Segmentation category and type - DICOM master list~SCT^49755003^Morphologically Altered Structure"
    "~SCT^4147007^Mass~^^~Anatomic codes - DICOM master list~^^~^^"
)
_COLORS = ((0.10, 0.85, 0.95), (0.60, 0.95, 0.25), (0.95, 0.45, 0.95), (0.30, 0.55, 1.00), (0.95, 0.95, 0.30))


def ensureSegmentation(inputVolume, chosen=None):
    """Return the segmentation of an input, in its geometry and under its transform; chosen: one that is there."""
    if chosen is not None:
        claimSegmentation(inputVolume, chosen)
    node = ensureResultNode(inputVolume, SEGMENTATION, _("{name} anomalies").format(name=inputVolume.GetName()))
    followTransform(node, inputVolume)  # before any voxel is written: else the transform would count twice
    node.SetReferenceImageGeometryParameterFromVolumeNode(inputVolume)
    if node.GetDisplayNode() is None:
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetOpacity2DFill(0.15)
    return node


def tagOf(segment, tag):
    """Return a segment's tag, "" where it has none."""
    text = vtk.reference("")
    return str(text) if segment.GetTag(tag, text) else ""


def ownSegments(segmentation):
    """Return lesion number -> segment id of the segments this module wrote."""
    vtkSegmentation = segmentation.GetSegmentation()
    own = {}
    for segmentID in vtkSegmentation.GetSegmentIDs():
        lesion = tagOf(vtkSegmentation.GetSegment(segmentID), LESION_TAG)
        if lesion:
            own[int(lesion)] = segmentID
    return own


def segmentArray(segmentation, segmentID, inputVolume):
    """Return a segment's voxels, uint8 (K, J, I) in the input's grid."""
    return segmentVoxels.readSegment(segmentation, segmentID, inputVolume)


def _digest(segmentation, segmentID, inputVolume):
    """Name the voxels of a segment, whatever the size of the box that holds them."""
    lows, part = segmentVoxels.readPart(segmentation, segmentID, inputVolume)
    found = np.argwhere(part).astype(np.int32) + np.array(lows, np.int32)
    return hashlib.sha256(found.tobytes()).hexdigest()


def isEdited(segmentation, segmentID, inputVolume):
    """Tell whether a segment differs from what this module wrote."""
    written = tagOf(segmentation.GetSegmentation().GetSegment(segmentID), DIGEST_TAG)
    return written != _digest(segmentation, segmentID, inputVolume)


def editedSegmentNames(segmentation, inputVolume):
    """Return the names of this module's segments that the user has changed."""
    vtkSegmentation = segmentation.GetSegmentation()
    return [
        vtkSegmentation.GetSegment(segmentID).GetName()
        for segmentID in ownSegments(segmentation).values()
        if isEdited(segmentation, segmentID, inputVolume)
    ]


def refuseEdited(segmentation, inputVolume):
    """Raise where a new run would replace the user's work."""
    names = editedSegmentNames(segmentation, inputVolume)
    if names:
        raise EditedSegmentsError(
            _(
                "These segments were edited: {names}. Choose whether to keep them beside the new ones or to replace "
                "them (scripts: editedSegments='keep' or 'replace')."
            ).format(names=", ".join(names)),
            names,
        )


def writeSegmentsSteps(segmentation, inputVolume, labelsKji, keepEdited):
    """Replace this module's segments by one segment per lesion; all others stay as they are."""
    vtkSegmentation = segmentation.GetSegmentation()
    for segmentID in ownSegments(segmentation).values():
        if keepEdited and isEdited(segmentation, segmentID, inputVolume):
            vtkSegmentation.GetSegment(segmentID).RemoveTag(LESION_TAG)  # now the user's own
        else:
            vtkSegmentation.RemoveSegment(segmentID)
    count = int(labelsKji.max(initial=0))
    for lesion in range(1, count + 1):
        segmentID = addLesionSegment(segmentation, lesion, isOnly=count == 1)
        writeSegment(segmentation, segmentID, inputVolume, labelsKji == lesion)
        yield FINAL


def slicesOf(segmentation, segmentID, inputVolume, axis):
    """Return the indexes of the slices along an axis (0, 1, 2 for i, j, k) that a segment lies on."""
    lows, part = segmentVoxels.readPart(segmentation, segmentID, inputVolume)
    others = tuple(other for other in range(3) if other != 2 - axis)
    return [int(index) + lows[2 - axis] for index in part.any(axis=others).nonzero()[0]]


def addLesionSegment(segmentation, lesion, isOnly=False):
    """Add an empty segment for a lesion and return its id."""
    vtkSegmentation = segmentation.GetSegmentation()
    name = _("Anomaly") if isOnly else _("Anomaly {number}").format(number=lesion)
    segmentID = vtkSegmentation.AddEmptySegment(
        vtkSegmentation.GenerateUniqueSegmentID(f"MIASSAM_{lesion}"), name, _COLORS[(lesion - 1) % len(_COLORS)]
    )
    segment = vtkSegmentation.GetSegment(segmentID)
    segment.SetTag(LESION_TAG, str(lesion))
    segment.SetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), TERMINOLOGY)
    return segmentID


def writeSegment(segmentation, segmentID, inputVolume, array):
    """Write a segment's voxels and remember them as this module's work."""
    segmentVoxels.writeSegment(segmentation, segmentID, inputVolume, array)
    digest = _digest(segmentation, segmentID, inputVolume)
    segmentation.GetSegmentation().GetSegment(segmentID).SetTag(DIGEST_TAG, digest)


def replaceSlicePart(segmentation, segmentID, inputVolume, axis, index, thin):
    """Put a slice, one voxel thick, into a segment and return what was there.

    axis: 0, 1, 2 for i, j, k. A correction is the user's work, so it is not remembered as this module's:
    a new run asks before it replaces the segment.
    """
    before = segmentVoxels.readSlice(segmentation, segmentID, inputVolume, axis, index)
    segmentVoxels.writeSlice(segmentation, segmentID, inputVolume, axis, index, thin)
    return before
