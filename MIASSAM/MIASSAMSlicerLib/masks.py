"""Masks: segmentations and label maps that mark a part of a volume, wherever their own voxels lie.

They bound the search (a region), or name slices that must not teach a bank what is normal (an exclusion mask).
"""

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from .errors import ModuleError

MASK_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode")


def listMasks():
    """Return the segmentations and label maps of the scene."""
    return [node for kind in MASK_CLASSES for node in slicer.util.getNodesByClass(kind)]


@dataclass(frozen=True)
class Region:
    """The part of a volume that is searched: a label map, a segmentation, or one segment of it."""

    node: object
    segmentID: str = ""

    @property
    def key(self):
        """Name this region as it is now; it changes when its voxels or its place do."""
        changed = _mTimesOfVoxels(self.node, self.segmentID)
        transform = self.node.GetParentTransformNode()
        changed.append(transform.GetTransformToWorldMTime() if transform is not None else 0)
        return "-".join(map(str, (self.node.GetID(), self.segmentID, *changed)))

    def voxels(self, volumeNode):
        """Return what is searched, uint8 (K, J, I) in the voxels of a volume."""
        return markedVoxels(self.node, volumeNode, self.segmentID)


def _mTimesOfVoxels(node, segmentID):
    """Return when the voxels changed last; reading a segmentation changes the time of its node, not of these."""
    if not node.IsA("vtkMRMLSegmentationNode"):
        return [node.GetMTime(), node.GetImageData().GetMTime()] if node.GetImageData() is not None else []
    segmentation = node.GetSegmentation()
    segmentIDs = [segmentID] if segmentID else list(segmentation.GetSegmentIDs())
    images = [node.GetBinaryLabelmapInternalRepresentation(each) for each in segmentIDs]
    return [len(images), *(image.GetMTime() if image is not None else 0 for image in images)]


def markedVoxels(maskNode, volumeNode, segmentID=""):
    """Return what a mask, or one segment of it, marks: uint8 (K, J, I) in the voxels of a volume."""
    if maskNode.IsA("vtkMRMLSegmentationNode"):
        marked = _ofSegmentation(maskNode, volumeNode, [segmentID] if segmentID else None)
    elif maskNode.IsA("vtkMRMLLabelMapVolumeNode"):
        marked = _ofLabelMap(maskNode, volumeNode)
    else:
        raise ModuleError(
            _("'{name}' is no mask. Choose a segmentation or a label map.").format(name=maskNode.GetName())
        )
    if not marked.any():
        raise ModuleError(
            _("'{mask}' marks nothing in '{volume}'. Choose a mask of this volume, or none.").format(
                mask=maskNode.GetName(), volume=volumeNode.GetName()
            )
        )
    return marked


def _ofSegmentation(segmentation, volumeNode, segmentIDs):
    marked = np.zeros(tuple(reversed(volumeNode.GetImageData().GetDimensions())), np.uint8)
    for segmentID in segmentIDs or segmentation.GetSegmentation().GetSegmentIDs():
        array = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, volumeNode)
        if array is not None:
            marked[array > 0] = 1
    return marked


def _ofLabelMap(labelMap, volumeNode):
    convert = slicer.vtkSlicerSegmentationsModuleLogic.CreateOrientedImageDataFromVolumeNode
    image, grid, result = convert(labelMap), convert(volumeNode), slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample
    if not resample.ResampleOrientedImageToReferenceOrientedImage(image, grid, result):
        raise ModuleError(
            _("'{mask}' could not be brought into the voxels of '{volume}'. Choose another mask.").format(
                mask=labelMap.GetName(), volume=volumeNode.GetName()
            )
        )
    scalars = vtk_to_numpy(result.GetPointData().GetScalars())
    return (scalars.reshape(tuple(reversed(result.GetDimensions()))) != 0).astype(np.uint8)
