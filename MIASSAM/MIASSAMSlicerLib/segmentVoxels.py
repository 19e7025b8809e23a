"""Read and write a segment's voxels in the grid of its input volume.

Both work in the nodes' local coordinates, which are equal because input and segmentation share their parent
transform, and move only the segment's bounding box: a correction must not make the views wait.
"""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy


def gridShape(volumeNode):
    """Return the volume's shape (K, J, I)."""
    return tuple(reversed(volumeNode.GetImageData().GetDimensions()))


def readSegment(segmentation, segmentID, volumeNode):
    """Return a segment's voxels, uint8 (K, J, I) in the volume's grid."""
    array = np.zeros(gridShape(volumeNode), np.uint8)
    labelmap = slicer.vtkOrientedImageData()
    segment = segmentation.GetSegmentation().GetSegment(segmentID)
    if segment.GetRepresentation("Binary labelmap") is None:
        return array
    segmentation.GetBinaryLabelmapRepresentation(segmentID, labelmap)
    if labelmap.IsEmpty():
        return array
    shift = _voxelShift(labelmap, volumeNode)
    if shift is None:  # drawn in another grid: let Slicer resample it
        resampled = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, volumeNode)
        return array if resampled is None else (resampled > 0).astype(np.uint8)
    _copyOverlap(labelmap, shift, array)
    return array


def _copyOverlap(labelmap, shift, array):
    lows = np.array(labelmap.GetExtent()[::2]) + shift
    i, j, k = labelmap.GetDimensions()
    part = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(k, j, i)
    first = np.maximum(lows, 0)[::-1]
    last = np.minimum(lows[::-1] + part.shape, array.shape)
    if (last <= first).any():
        return
    offset = lows[::-1]
    array[tuple(slice(a, b) for a, b in zip(first, last))] = (
        part[tuple(slice(a - o, b - o) for a, b, o in zip(first, last, offset))] > 0
    )


def _voxelShift(labelmap, volumeNode):
    """Return how many whole voxels the labelmap's index is off the volume's; None when the grids differ."""
    labelToLocal, volumeToLocal = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    labelmap.GetImageToWorldMatrix(labelToLocal)
    volumeNode.GetIJKToRASMatrix(volumeToLocal)
    relation = np.linalg.solve(
        slicer.util.arrayFromVTKMatrix(volumeToLocal), slicer.util.arrayFromVTKMatrix(labelToLocal)
    )
    shift = np.round(relation[:3, 3])
    same = np.allclose(relation[:3, :3], np.eye(3), atol=1e-4) and np.allclose(relation[:3, 3], shift, atol=1e-3)
    return shift.astype(int) if same else None


def writeSegment(segmentation, segmentID, volumeNode, array):
    """Write a segment's voxels, given as (K, J, I) in the volume's grid."""
    inside = np.asarray(array) != 0
    box = _boundingBox(inside)
    labelmap = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    lows, highs = box if box is not None else (np.zeros(3, int), np.ones(3, int))
    part = np.ascontiguousarray(inside[tuple(slice(a, b) for a, b in zip(lows, highs))], np.uint8)
    labelmap.SetExtent(
        int(lows[2]), int(highs[2]) - 1, int(lows[1]), int(highs[1]) - 1, int(lows[0]), int(highs[0]) - 1
    )
    labelmap.SetImageToWorldMatrix(matrix)
    scalars = numpy_to_vtk(part.ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName("ImageScalars")
    labelmap.GetPointData().SetScalars(scalars)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(labelmap, segmentation, segmentID, logic.MODE_REPLACE):
        raise RuntimeError(f"segment {segmentID} could not be written")


def _boundingBox(inside):
    """Return the lowest indexes and one past the highest, (K, J, I); None where nothing is inside."""
    lows, highs = [], []
    for axis in range(3):
        used = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        if not used.size:
            return None
        lows.append(used[0])
        highs.append(used[-1] + 1)
    return np.array(lows), np.array(highs)
