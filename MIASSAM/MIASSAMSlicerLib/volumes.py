"""Slicer's volume nodes as the worker wants them: voxels as loaded, and where they are in the world."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from .errors import ModuleError
from .resultNodes import RESULT_ATTRIBUTE

NO_INPUT_CLASSES = ("vtkMRMLLabelMapVolumeNode", "vtkMRMLVectorVolumeNode", "vtkMRMLDiffusionWeightedVolumeNode")


def isInput(node):
    """Tell whether a volume can be an input: no label map, no colors and no heat map of this module."""
    return node.GetAttribute(RESULT_ATTRIBUTE) is None and not any(node.IsA(kind) for kind in NO_INPUT_CLASSES)


def listInputs():
    """Return the volumes of the scene that can be an input."""
    return [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode") if isInput(node)]


def checkVolume(volumeNode):
    """Refuse what cannot be segmented, saying what to do."""
    if volumeNode is None:
        raise ModuleError(_("No volume is selected. Load a volume and choose it as input."))
    name = volumeNode.GetName()
    image = volumeNode.GetImageData()
    if image is None or 0 in image.GetDimensions():
        raise ModuleError(
            _("'{name}' has no voxels. Load its image again or choose another volume.").format(name=name)
        )
    if image.GetNumberOfScalarComponents() != 1:
        raise ModuleError(
            _(
                "'{name}' has {count} components per voxel and one is needed. Convert it with the module "
                "'Vector to Scalar Volume'."
            ).format(name=name, count=image.GetNumberOfScalarComponents())
        )
    if not isInput(volumeNode):
        raise ModuleError(
            _("'{name}' is a label map or a heat map. Choose the image volume itself.").format(name=name)
        )
    transform = volumeNode.GetParentTransformNode()
    if transform is not None and not transform.IsTransformToWorldLinear():
        raise ModuleError(
            _(
                "'{name}' is under the non-linear transform '{transform}'. Harden the transform or take the "
                "volume out of it."
            ).format(name=name, transform=transform.GetName())
        )


def ijkToWorld(volumeNode):
    """Return the 4x4 array from voxel index (i, j, k) to world RAS in mm, parent transforms included."""
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    toWorld = np.eye(4)
    transform = volumeNode.GetParentTransformNode()
    if transform is not None:
        worldMatrix = vtk.vtkMatrix4x4()
        transform.GetMatrixTransformToWorld(worldMatrix)
        toWorld = slicer.util.arrayFromVTKMatrix(worldMatrix)
    return toWorld @ slicer.util.arrayFromVTKMatrix(matrix)


def voxelMl(matrix):
    """Return the volume of a voxel in milliliters, from its 4x4 array to mm."""
    return float(abs(np.linalg.det(matrix[:3, :3])) / 1000)


def worldFromIjk(volumeNode, ijk):
    """Return the world RAS position of a voxel index."""
    return (ijkToWorld(volumeNode) @ np.append(np.asarray(ijk, float), 1.0))[:3]


def ijkFromWorld(volumeNode, ras):
    """Return the fractional voxel index of a world RAS position."""
    return (np.linalg.inv(ijkToWorld(volumeNode)) @ np.append(np.asarray(ras, float), 1.0))[:3]


def isInsideVolume(volumeNode, ijk):
    """Tell whether a fractional voxel index lies within the volume's voxels."""
    size = np.array(volumeNode.GetImageData().GetDimensions())
    return bool(np.all(np.asarray(ijk) >= -0.5) and np.all(np.asarray(ijk) < size - 0.5))


def voxels(volumeNode):
    """Return the voxels (K, J, I) as they are; the worker reads them as float32."""
    return slicer.util.arrayFromVolume(volumeNode)


def volumeKey(volumeNode):
    """Return a name for these voxels in this place; it changes when either does."""
    place = np.round(ijkToWorld(volumeNode), 9).tobytes()
    return f"{volumeNode.GetID()}-{volumeNode.GetImageData().GetMTime()}-{hash(place) & 0xFFFFFFFF:08x}"


def modalityOf(volumeNode):
    """Return "mri", "ct" or "" from what the DICOM or Slicer says about the volume."""
    quantity = volumeNode.GetVoxelValueUnits()
    word = (quantity.GetCodeMeaning() or "").lower() if quantity else ""
    return "ct" if "hounsfield" in word else ""
