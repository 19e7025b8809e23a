"""The logic on MRML nodes, with a worker whose every voxel is known."""

import numpy as np
import pytest
import slicer
import vtk

from .conftest import addVolume, spots


def segmentVoxels(results, lesion):
    from MIASSAMSlicerLib import anomalySegments

    own = anomalySegments.ownSegments(results.segmentation)
    return anomalySegments.segmentArray(results.segmentation, own[lesion], results.inputVolume).astype(bool)


def refusal(logic, volumeNode, bank, **options):
    from MIASSAMSlicerLib.errors import ModuleError

    with pytest.raises(ModuleError) as raised:
        logic.segmentVolume(volumeNode, bank, **options)
    return str(raised.value)


def turned(degrees=20.0, spacing=(0.8, 1.1, 3.0), flips=(1, 1, 1)):
    """An oblique, anisotropic and possibly mirrored ijkToRas."""
    a = np.radians(degrees)
    rotation = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(a / 2), -np.sin(a / 2)], [0, np.sin(a / 2), np.cos(a / 2)]])
    matrix = np.eye(4)
    matrix[:3, :3] = rotation @ tilt @ np.diag(np.array(spacing) * flips)
    matrix[:3, 3] = (12.5, -30.0, 7.25)
    return matrix


def linearTransform(matrix):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    return node


def test_a_run_gives_segments_heat_and_points(logic, volume, bank):
    results = logic.segmentVolume(volume, bank)
    assert np.array_equal(segmentVoxels(results, 1) | segmentVoxels(results, 2), spots() > 150)
    heat = slicer.util.arrayFromVolume(results.heat)
    assert np.allclose(heat, np.maximum(spots() - 100, 0) / 20)
    assert results.points.GetNumberOfControlPoints() == 3
    labels = [results.points.GetNthControlPointLabel(n) for n in range(3)]
    assert labels == ["slice 2: 10.0", "slice 3: 10.0", "slice 3: 11.0"]


def test_segments_carry_terminology_and_the_input_geometry(logic, volume, bank):
    results = logic.segmentVolume(volume, bank)
    segment = results.segmentation.GetSegmentation().GetNthSegment(0)
    entry = vtk.reference("")
    assert segment.GetTag(slicer.vtkSegment.GetTerminologyEntryTagName(), entry)
    assert "SCT^4147007^Mass" in str(entry)
    reference = results.segmentation.GetNodeReferenceID(
        slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole()
    )
    assert reference == volume.GetID()


PLACES = {
    "axis-aligned": np.eye(4),
    "oblique and anisotropic": turned(),
    "mirrored": turned(flips=(-1, 1, -1)),
    "left-handed": turned(flips=(1, 1, -1)),
}


@pytest.mark.parametrize("place", PLACES, ids=str)
@pytest.mark.parametrize("isTransformed", [False, True], ids=["plain", "under a transform"])
def test_everything_lies_where_the_image_shows_it(logic, scene, bank, place, isTransformed):
    from MIASSAMSlicerLib.volumes import ijkToWorld

    volume = addVolume(ijkToRas=PLACES[place])
    toWorld = np.eye(4)
    if isTransformed:
        toWorld = turned(35.0, (1, 1, 1))
        volume.SetAndObserveTransformNodeID(linearTransform(toWorld).GetID())
    results = logic.segmentVolume(volume, bank)
    expected = (toWorld @ PLACES[place] @ np.array([10.5, 12.5, 2.0, 1.0]))[:3]
    position = [0.0, 0.0, 0.0]
    results.points.GetNthControlPointPositionWorld(0, position)
    assert np.allclose(position, expected, atol=1e-6)
    for node in (results.segmentation, results.heat, results.points):
        assert node.GetTransformNodeID() == volume.GetTransformNodeID()
    assert np.allclose(ijkToWorld(results.heat), toWorld @ PLACES[place])
    # Slicer's own reading of the segment, in the world, against the voxels' own positions
    center = np.array(results.segmentation.GetSegmentCenterRAS("MIASSAM_2"))
    truth = (toWorld @ PLACES[place] @ np.array([38.5, 27.0, 3.0, 1.0]))[:3]
    assert np.linalg.norm(center - truth) < 1.1 * np.linalg.norm(PLACES[place][:3, :3], axis=0).max()
    assert np.array_equal(segmentVoxels(results, 2), spots() > 210)


def test_segment_voxels_are_slicers_voxels_under_a_transform(logic, scene, bank):
    """Slicer's export, which is independent of our reader and writer, gives the same voxels."""
    volume = addVolume(ijkToRas=turned())
    volume.SetAndObserveTransformNodeID(linearTransform(turned(35.0, (1, 1, 1))).GetID())
    results = logic.segmentVolume(volume, bank)
    array = slicer.util.arrayFromSegmentBinaryLabelmap(results.segmentation, "MIASSAM_1", volume)
    expected = (spots() > 150) & (np.arange(50) < 25)
    assert np.array_equal(array > 0, expected)


def test_a_second_run_changes_nothing(logic, volume, bank):
    first = logic.segmentVolume(volume, bank)
    before = (
        segmentVoxels(first, 1),
        first.segmentation.GetSegmentation().GetNumberOfSegments(),
        slicer.mrmlScene.GetNumberOfNodes(),
    )
    second = logic.segmentVolume(volume, bank)
    assert second.segmentation is first.segmentation and second.heat is first.heat and second.points is first.points
    assert np.array_equal(segmentVoxels(second, 1), before[0])
    assert second.segmentation.GetSegmentation().GetNumberOfSegments() == before[1]
    assert slicer.mrmlScene.GetNumberOfNodes() == before[2]
    assert second.points.GetNumberOfControlPoints() == 3


def test_other_segments_and_segmentations_are_untouched(logic, volume, bank):
    from MIASSAMSlicerLib import segmentVoxels as io

    results = logic.segmentVolume(volume, bank)
    organ = np.zeros(spots().shape, np.uint8)
    organ[1:5, 5:35, 5:45] = 1
    organID = results.segmentation.GetSegmentation().AddEmptySegment("organ", "Organ")
    io.writeSegment(results.segmentation, organID, volume, organ)
    logic.segmentVolume(volume, bank)
    assert np.array_equal(io.readSegment(results.segmentation, organID, volume), organ)
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 3


def editFirstSegment(results):
    from MIASSAMSlicerLib import segmentVoxels as io

    edited = io.readSegment(results.segmentation, "MIASSAM_1", results.inputVolume)
    edited[0, 0:3, 0:3] = 1
    io.writeSegment(results.segmentation, "MIASSAM_1", results.inputVolume, edited)
    return edited


def test_an_edited_segment_is_not_replaced_without_asking(logic, volume, bank):
    from MIASSAMSlicerLib import segmentVoxels as io
    from MIASSAMSlicerLib.errors import EditedSegmentsError

    results = logic.segmentVolume(volume, bank)
    edited = editFirstSegment(results)
    with pytest.raises(EditedSegmentsError) as raised:
        logic.segmentVolume(volume, bank)
    assert raised.value.segmentNames == ["Anomaly 1"]
    assert np.array_equal(io.readSegment(results.segmentation, "MIASSAM_1", volume), edited)
    logic.segmentVolume(volume, bank, editedSegments="keep")
    assert np.array_equal(io.readSegment(results.segmentation, "MIASSAM_1", volume), edited)
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 3
    assert np.array_equal(segmentVoxels(results, 1), (spots() > 150) & (np.arange(50) < 25))


def test_an_edited_segment_is_replaced_on_request(logic, volume, bank):
    results = logic.segmentVolume(volume, bank)
    editFirstSegment(results)
    logic.segmentVolume(volume, bank, editedSegments="replace")
    assert not segmentVoxels(results, 1)[0].any()
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_results_lie_in_one_folder_beside_the_input(logic, volume, bank):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    patient = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Patient folder")
    hierarchy.SetItemParent(hierarchy.CreateItem(patient, volume), patient)
    for _ in range(2):
        results = logic.segmentVolume(volume, bank)
    nodes = (results.segmentation, results.heat, results.points)
    folders = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) for node in nodes}
    assert len(folders) == 1
    folder = folders.pop()
    assert hierarchy.GetItemParent(folder) == patient
    assert hierarchy.GetItemName(folder) == "Patient anomalies"
    assert hierarchy.GetNumberOfItemChildren(patient) == 2, "the input and one folder, also after a second run"


def test_results_of_two_inputs_are_apart(logic, volume, bank):
    first = logic.segmentVolume(volume, bank)
    second = logic.segmentVolume(addVolume(name="Other"), bank)
    assert first.segmentation is not second.segmentation
    assert logic.resultsOf(volume).heat is first.heat


def test_a_bank_is_built_from_volumes_of_the_scene(logic, volume, tmp_path):
    stages = []
    answer = logic.buildMemoryBank(
        [volume, addVolume(name="Second")],
        tmp_path / "New.bank",
        modality="mri",
        progress=lambda stage, done, total: stages.append(stage),
    )
    assert (tmp_path / "New.bank" / "manifest.json").is_file()
    assert answer["n_slices"] == 12
    assert stages == ["encoding Patient", "encoding Second"]


def test_a_bank_name_must_end_in_bank(logic, volume, tmp_path):
    from MIASSAMSlicerLib.errors import ModuleError

    with pytest.raises(ModuleError, match="ends in .bank"):
        logic.buildMemoryBank([volume], tmp_path / "New")
    with pytest.raises(ModuleError, match="No volume was chosen"):
        logic.buildMemoryBank([], tmp_path / "New.bank")


def test_progress_may_stop_a_run_and_nothing_is_left(logic, volume, bank):
    from MIASSAMSlicerLib.errors import RunCancelled

    def stop(stage, done, total):
        if done == 2:
            raise RunCancelled("enough")

    nodes = slicer.mrmlScene.GetNumberOfNodes()
    with pytest.raises(RunCancelled):
        logic.segmentVolume(volume, bank, progress=stop)
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert logic.segmentVolume(volume, bank).isComplete  # the worker is still good for the next run


def test_closing_leaves_no_process_and_no_folder(logic, volume, bank):
    import os

    logic.segmentVolume(volume, bank)
    process, folder = logic.worker.processId, logic.worker.session.folder
    assert folder.is_dir()
    assert not [name for name in os.listdir(folder) if name.endswith(".npy")], "arrays are removed once they are read"
    logic.close()
    assert not folder.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, 0)


def test_redecode_changes_one_part_of_one_slice_only(logic, volume, bank):
    from MIASSAMSlicerLib import volumes

    results = logic.segmentVolume(volume, bank)
    before = segmentVoxels(results, 1), segmentVoxels(results, 2)
    results.points.SetNthControlPointPositionWorld(1, *volumes.worldFromIjk(volume, (20, 30, 3)))
    logic.redecodeSlice(results, 3, 1)
    after = segmentVoxels(results, 1)
    assert after[3, 28:33, 18:23].all() and after[3].sum() == 25
    assert np.array_equal(np.delete(after, 3, 0), np.delete(before[0], 3, 0))
    assert np.array_equal(segmentVoxels(results, 2), before[1])


def test_parameters_have_sensible_defaults(logic, scene):
    parameters = logic.getParameterNode()
    assert parameters.inputVolume is None
    assert parameters.model.value == "embedded"
    assert parameters.heatOpacity == 0.5
    assert not parameters.allSlices
