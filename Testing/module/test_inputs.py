"""Volumes of every sort: each has a defined result, or is refused with a text that says what to do."""

import numpy as np
import slicer
import vtk

from .conftest import addVolume, spots
from .test_logic import refusal, segmentVoxels


def test_nothing_found_gives_empty_results_and_says_so(logic, scene, bank):
    from MIASSAMSlicerLib import runs

    results = logic.segmentVolume(addVolume(np.full((4, 20, 20), 50, np.float32)), bank)
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 0
    assert results.points.GetNumberOfControlPoints() == 0
    assert runs.summaryOf(results.record) == "No anomaly found in 4 slices."


def test_a_single_slice_volume_is_segmented(logic, scene, bank):
    results = logic.segmentVolume(addVolume(spots()[3:4]), bank)
    assert np.array_equal(segmentVoxels(results, 1) | segmentVoxels(results, 2), spots()[3:4] > 150)


def test_voxels_that_are_not_finite_are_read_as_zero(logic, scene, bank):
    voxels = spots()
    voxels[0, 0, 0], voxels[0, 0, 1] = np.nan, np.inf
    results = logic.segmentVolume(addVolume(voxels), bank)
    assert np.array_equal(segmentVoxels(results, 1) | segmentVoxels(results, 2), spots() > 150)


def test_a_vector_volume_is_refused(logic, scene, bank):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "Colors")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 2)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    assert "Vector to Scalar Volume" in refusal(logic, node, bank)


def test_a_volume_without_voxels_is_refused(logic, scene, bank):
    assert "has no voxels" in refusal(logic, slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "E"), bank)


def test_no_volume_is_refused(logic, scene, bank):
    assert "No volume is selected" in refusal(logic, None, bank)


def test_a_non_linear_transform_is_refused(logic, volume, bank):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "Warp")
    spline = slicer.vtkOrientedBSplineTransform()
    coefficients = vtk.vtkImageData()
    coefficients.SetDimensions(5, 5, 5)
    coefficients.AllocateScalars(vtk.VTK_DOUBLE, 3)
    spline.SetCoefficientData(coefficients)
    node.SetAndObserveTransformToParent(spline)
    volume.SetAndObserveTransformNodeID(node.GetID())
    assert "non-linear transform 'Warp'" in refusal(logic, volume, bank)
    assert logic.resultsOf(volume) is None


def test_a_missing_bank_is_refused_before_any_work(logic, volume, tmp_path):
    assert "is no memory bank" in refusal(logic, volume, tmp_path)
    assert logic.worker.processId is None


def test_what_the_library_refuses_reaches_the_user_and_leaves_no_node(logic, volume, tmp_path):
    damaged = tmp_path / "damaged.bank"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("{}")
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    assert "is damaged; rebuild it" in refusal(logic, volume, damaged)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
