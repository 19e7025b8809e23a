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
    shape = gridShape(volumeNode)
    lows, part = readPart(segmentation, segmentID, volumeNode)
    array = np.zeros(shape, np.uint8)
    array[tuple(slice(low, low + size) for low, size in zip(lows, part.shape))] = part
    return array


def readPart(segmentation, segmentID, volumeNode):
    """Return where a segment's box begins (k, j, i) and the voxels in it, uint8; an empty box for an empty segment."""
    nothing = (0, 0, 0), np.zeros((0, 0, 0), np.uint8)
    segment = segmentation.GetSegmentation().GetSegment(segmentID)
    if segment.GetRepresentation("Binary labelmap") is None:
        return nothing
    labelmap = slicer.vtkOrientedImageData()
    segmentation.GetBinaryLabelmapRepresentation(segmentID, labelmap)
    if labelmap.IsEmpty():
        return nothing
    shift = _voxelShift(labelmap, volumeNode)
    if shift is None:  # drawn in another grid: let Slicer resample it
        resampled = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segmentID, volumeNode)
        return nothing if resampled is None else ((0, 0, 0), (resampled > 0).astype(np.uint8))
    return _withinGrid(labelmap, shift, gridShape(volumeNode))


def _withinGrid(labelmap, shift, shape):
    offset = (np.array(labelmap.GetExtent()[::2]) + shift)[::-1]
    i, j, k = labelmap.GetDimensions()
    part = vtk_to_numpy(labelmap.GetPointData().GetScalars()).reshape(k, j, i)
    first = np.maximum(offset, 0)
    last = np.maximum(np.minimum(offset + part.shape, shape), first)
    kept = part[tuple(slice(a - o, b - o) for a, b, o in zip(first, last, offset))]
    return tuple(int(low) for low in first), (kept > 0).astype(np.uint8)


def readSlice(segmentation, segmentID, volumeNode, axis, index):
    """Return one slice of a segment, one voxel thick: uint8 (K, J, I). axis: 0, 1, 2 for i, j, k."""
    shape = list(gridShape(volumeNode))
    shape[2 - axis] = 1
    thin = np.zeros(shape, np.uint8)
    lows, part = readPart(segmentation, segmentID, volumeNode)
    row = index - lows[2 - axis]
    if not 0 <= row < part.shape[2 - axis]:
        return thin
    place = [slice(low, low + size) for low, size in zip(lows, part.shape)]
    place[2 - axis] = slice(0, 1)
    thin[tuple(place)] = np.take(part, [row], 2 - axis)
    return thin


def writeSlice(segmentation, segmentID, volumeNode, axis, index, thin):
    """Make one slice of a segment what is given, one voxel thick (K, J, I); no other voxel is touched."""
    wanted = np.broadcast_to(np.asarray(thin) != 0, readShape(volumeNode, axis))
    known = readSlice(segmentation, segmentID, volumeNode, axis, index) != 0
    lows = [0, 0, 0]
    lows[2 - axis] = index
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    for isNeeded, mode in (
        ((known & ~wanted).any(), logic.MODE_MERGE_MIN),
        ((wanted & ~known).any(), logic.MODE_MERGE_MAX),
    ):
        if isNeeded:
            box = _boundingBox(known | wanted)
            part = wanted[tuple(slice(a, b) for a, b in zip(*box))]
            _apply(segmentation, segmentID, volumeNode, np.array(lows) + box[0], part, mode)


def readShape(volumeNode, axis):
    """Return the shape (K, J, I) of a slice of the volume, one voxel thick along an axis."""
    shape = list(gridShape(volumeNode))
    shape[2 - axis] = 1
    return tuple(shape)


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
    lows, highs = _boundingBox(inside) or (np.zeros(3, int), np.ones(3, int))
    part = inside[tuple(slice(a, b) for a, b in zip(lows, highs))]
    mode = slicer.vtkSlicerSegmentationsModuleLogic.MODE_REPLACE
    _apply(segmentation, segmentID, volumeNode, lows, part, mode)


def _apply(segmentation, segmentID, volumeNode, lows, part, mode):
    """Bring a box of voxels, which begins at lows (k, j, i), into a segment."""
    labelmap = slicer.vtkOrientedImageData()
    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    extent = [[int(low), int(low) + size - 1] for low, size in zip(lows, part.shape)]
    labelmap.SetExtent(*extent[2], *extent[1], *extent[0])
    labelmap.SetImageToWorldMatrix(matrix)
    scalars = numpy_to_vtk(part.astype(np.uint8).ravel(), deep=True, array_type=vtk.VTK_UNSIGNED_CHAR)
    scalars.SetName("ImageScalars")
    labelmap.GetPointData().SetScalars(scalars)
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(labelmap, segmentation, segmentID, mode):
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
