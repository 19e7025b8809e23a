"""Open files with Slicer's own storage nodes (slicer-core), in a scene of their own."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np


def _scene():
    import slicer

    scene = slicer.vtkMRMLScene()
    logic = slicer.vtkSlicerSegmentationsModuleLogic()  # registers the converters a segmentation needs
    logic.SetMRMLScene(scene)
    return slicer, scene, logic


def _read(scene, node, storage, path):
    scene.AddNode(node)
    scene.AddNode(storage)
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1, f"Slicer could not read {path}"
    return node


def _matrix(fill) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    fill(matrix)
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _voxels(image) -> np.ndarray:
    from vtk.util.numpy_support import vtk_to_numpy

    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def read_volume_node(path) -> SimpleNamespace:
    """Return voxels_kji and ijk_to_ras of a scalar volume as Slicer sees it."""
    slicer, scene, _ = _scene()
    node = _read(scene, slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLVolumeArchetypeStorageNode(), path)
    return SimpleNamespace(voxels_kji=_voxels(node.GetImageData()).copy(), ijk_to_ras=_matrix(node.GetIJKToRASMatrix))


def read_segmentation_node(path) -> list[SimpleNamespace]:
    """Return name, color, terminology, mask_kji and ijk_to_ras of each segment as Slicer sees it."""
    import vtk

    slicer, scene, _logic = _scene()
    node = _read(scene, slicer.vtkMRMLSegmentationNode(), slicer.vtkMRMLSegmentationStorageNode(), path)
    segmentation = node.GetSegmentation()
    found = []
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        tag = vtk.reference("")
        segment.GetTag("TerminologyEntry", tag)
        found.append(
            SimpleNamespace(
                name=segment.GetName(),
                color=segment.GetColor(),
                terminology=str(tag),
                mask_kji=_voxels(image) == segment.GetLabelValue() if image.GetNumberOfPoints() else None,
                extent=image.GetExtent(),
                ijk_to_ras=_matrix(image.GetImageToWorldMatrix),
            )
        )
    return found


def segment_points_ras(segment: SimpleNamespace) -> np.ndarray:
    """Return RAS positions (N, 3) of a segment's voxels."""
    if segment.mask_kji is None:
        return np.zeros((0, 3))
    kji = np.argwhere(segment.mask_kji)
    ijk = kji[:, ::-1] + np.array(segment.extent[::2])
    return ijk @ segment.ijk_to_ras[:3, :3].T + segment.ijk_to_ras[:3, 3]


def read_markups_node(path) -> list[SimpleNamespace]:
    """Return label, description, locked and RAS of each point as Slicer sees it."""
    slicer, scene, _ = _scene()
    node = _read(scene, slicer.vtkMRMLMarkupsFiducialNode(), slicer.vtkMRMLMarkupsJsonStorageNode(), path)
    return [
        SimpleNamespace(
            label=node.GetNthControlPointLabel(n),
            description=node.GetNthControlPointDescription(n),
            locked=bool(node.GetNthControlPointLocked(n)),
            ras=np.array(node.GetNthControlPointPositionWorld(n)),
        )
        for n in range(node.GetNumberOfControlPoints())
    ]
