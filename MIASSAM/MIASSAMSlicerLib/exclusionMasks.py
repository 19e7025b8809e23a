"""Exclusion masks: slices of a normal volume that must not teach a bank what is normal.

A mask is a segmentation or a label map; what it marks is left out, and two slices on either side.
"""

import numpy as np
import slicer
from slicer.i18n import tr as _
from vtk.util.numpy_support import vtk_to_numpy

from .errors import ModuleError

MASK_CLASSES = ("vtkMRMLSegmentationNode", "vtkMRMLLabelMapVolumeNode")


def listMasks():
    """Return the segmentations and label maps of the scene."""
    return [node for kind in MASK_CLASSES for node in slicer.util.getNodesByClass(kind)]


def excludedVoxels(maskNode, volumeNode):
    """Return what a mask marks, uint8 (K, J, I) in the voxels of a volume, wherever the mask's own voxels lie."""
    if maskNode.IsA("vtkMRMLSegmentationNode"):
        marked = _ofSegmentation(maskNode, volumeNode)
    elif maskNode.IsA("vtkMRMLLabelMapVolumeNode"):
        marked = _ofLabelMap(maskNode, volumeNode)
    else:
        raise ModuleError(
            _("'{name}' is no mask. Choose a segmentation or a label map.").format(name=maskNode.GetName())
        )
    if not marked.any():
        raise ModuleError(
            _("'{mask}' marks nothing in '{volume}'. Choose the mask of this volume, or none.").format(
                mask=maskNode.GetName(), volume=volumeNode.GetName()
            )
        )
    return marked


def _ofSegmentation(segmentation, volumeNode):
    marked = np.zeros(tuple(reversed(volumeNode.GetImageData().GetDimensions())), np.uint8)
    for segmentID in segmentation.GetSegmentation().GetSegmentIDs():
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
