"""DICOM SEG: read by highdicom, the segmentation lies where the labels lie, and says from which slices it came."""

from __future__ import annotations

import highdicom
import numpy as np
import pydicom
import pytest
from library.dicom_phantom import PRIVATE_WORDS, write_dicom, write_enhanced
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.phantoms import Grid, make_phantom, vary
from MIASSAMLib.volume_io import find_inputs, read_label, read_volume, write_dicom_seg, write_volume

GRID = Grid.centered((10, 60, 48), (3.0, 3.5, 12.0))


@pytest.fixture(params=["oblique", "flipped", "sagittal"])
def series(request, tmp_path):
    """A phantom with two lesions as a DICOM series, read back, and its true labels."""
    phantom = make_phantom("brain", 6, 2, vary(GRID, request.param))
    volume = read_volume(write_dicom(tmp_path / "ill", phantom.volume))
    np.testing.assert_allclose(volume.voxels_kji[:], np.round(_on(volume, phantom)), atol=0)
    return volume, _labels_on(volume, phantom)


def _order(volume, phantom) -> int:
    """Return -1 where the reader sorts the slices against the phantom's order, else 1."""
    return 1 if volume.ijk_to_ras[:3, 2] @ phantom.volume.ijk_to_ras[:3, 2] > 0 else -1


def _on(volume, phantom):
    return phantom.volume.voxels_kji[:: _order(volume, phantom)]


def _labels_on(volume, phantom):
    return phantom.lesion_labels_kji[:: _order(volume, phantom)]


def points_of_segment(dataset, number: int) -> np.ndarray:
    """Return the RAS positions (n, 3) of a segment's pixels, from the file's own functional groups."""
    points = []
    shared = dataset.SharedFunctionalGroupsSequence[0]
    x_axis, y_axis = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    row_mm, column_mm = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, frames):
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number:
            origin = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
            for row, column in np.argwhere(pixels):
                points.append(origin + x_axis * column_mm * column + y_axis * row_mm * row)
    return np.array(points) * [-1, -1, 1]


def test_segments_lie_where_the_labels_lie_in_the_patient(series, tmp_path):
    volume, labels = series
    path = write_dicom_seg(tmp_path / "x.seg.dcm", labels, volume, ["Anomaly 1", "Anomaly 2"])
    dataset = pydicom.dcmread(path)
    assert labels.max() == 2
    for number in (1, 2):
        expected = volume.ijk_to_ras_point(np.argwhere(labels == number)[:, ::-1])
        found = points_of_segment(dataset, number)
        found, expected = (points[np.lexsort(np.round(points, 2).T)] for points in (found, expected))
        np.testing.assert_allclose(found, expected, atol=2e-3)


def test_highdicom_reads_terminology_and_source_slices(series, tmp_path):
    volume, labels = series
    path = write_dicom_seg(tmp_path / "x.seg.dcm", labels, volume, ["Anomaly 1", "Anomaly 2"], is_by_hand=True)
    found = highdicom.seg.segread(path)
    assert [found.get_segment_description(n).segment_label for n in (1, 2)] == ["Anomaly 1", "Anomaly 2"]
    described = found.get_segment_description(1)
    assert described.segmented_property_category.value == "49755003"
    assert described.segmented_property_type.value == "4147007"
    assert described.algorithm_type.value == "SEMIAUTOMATIC"
    slices = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, (tmp_path / "ill").iterdir())}
    assert {uid for _, _, uid in found.get_source_image_uids()} == set(slices)
    in_order = sorted(slices.values(), key=lambda one: one.InstanceNumber)
    stack = found.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in in_order], combine_segments=True, ignore_spatial_locations=True,
        assert_missing_frames_are_empty=True,
    )  # fmt: skip
    as_written = labels if float(in_order[0].ImagePositionPatient[2]) == _z(volume, 0) else labels[::-1]
    np.testing.assert_array_equal(stack, as_written)
    source = in_order[0]
    assert (found.PatientID, found.StudyInstanceUID, found.FrameOfReferenceUID) == (
        "P-17", source.StudyInstanceUID, source.FrameOfReferenceUID,
    )  # fmt: skip
    assert found.SeriesInstanceUID != source.SeriesInstanceUID


def _z(volume, k: int) -> float:
    return pytest.approx(float(volume.ijk_to_ras_point(np.array([0, 0, k]))[2]), abs=1e-4)


def test_no_private_tag_is_taken_over(series, tmp_path):
    volume, labels = series
    path = write_dicom_seg(tmp_path / "x.seg.dcm", labels, volume, ["a", "b"])
    assert any(PRIVATE_WORDS.encode() in file.read_bytes() for file in (tmp_path / "ill").iterdir())
    assert PRIVATE_WORDS.encode() not in path.read_bytes()
    assert not [element for element in pydicom.dcmread(path).iterall() if element.tag.is_private]


def test_an_empty_segmentation_can_be_read(series, tmp_path):
    volume, labels = series
    path = write_dicom_seg(tmp_path / "x.seg.dcm", np.zeros_like(labels), volume)
    assert highdicom.seg.segread(path).number_of_segments == 1
    assert not pydicom.dcmread(path).pixel_array.any()


def test_a_series_without_frame_of_reference_is_refused(tmp_path):
    phantom = make_phantom("brain", 6, 1, GRID)
    folder = write_dicom(tmp_path / "ill", phantom.volume)
    for file in folder.iterdir():
        one = pydicom.dcmread(file)
        del one.FrameOfReferenceUID
        one.save_as(file)
    volume = read_volume(folder)
    with pytest.raises(InputError, match="no frame of reference"):
        write_dicom_seg(tmp_path / "x.seg.dcm", np.zeros(volume.shape_kji, np.uint8), volume)
    assert not (tmp_path / "x.seg.dcm").exists()


def test_the_command_line_writes_it_and_a_correction_writes_it_again(tmp_path, capsys):
    grid = Grid.centered((3, 72, 64), (3.0, 3.0, 30.0))
    normal = write_volume(tmp_path / "normal.nii.gz", make_phantom("brain", 1, 0, grid).volume)
    ill = write_dicom(tmp_path / "ill", make_phantom("brain", 6, 1, vary(grid, "oblique")).volume)
    bank, out = str(tmp_path / "a.bank"), tmp_path / "out"
    assert main(["bank", "build", str(normal), "--preset", "paper", "--output", bank, "--json"]) == 0
    words = ["--bank", bank, "--output", str(out), "--dicom-seg", "--json"]
    assert main(["segment", str(ill), *words]) == 0
    assert main(["segment", str(normal), *words]) == 2
    assert "refers to the slices of a DICOM series, which normal.nii.gz is not" in capsys.readouterr().err
    assert not find_inputs([ill])[1:]

    def area() -> int:
        labels = read_label(out / "ill.seg.nrrd", read_volume(ill))
        assert (labels > 0).sum() == pydicom.dcmread(out / "ill.seg.dcm").pixel_array.sum()
        return int((labels > 0).sum())

    before = area()
    assert main(["correct", str(out / "ill.seg.dcm"), "--slice", "1", "--remove", "--lesion", "1"]) == 0
    assert area() < before


def test_it_says_what_to_install(monkeypatch, tmp_path):
    from MIASSAMLib.volume_io import check_dicom_seg, dicom_seg

    monkeypatch.setattr(dicom_seg, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'miassam\[dicom\]'"):
        check_dicom_seg([tmp_path])


def test_frames_are_sorted_by_position_whatever_their_order_in_the_file(series, tmp_path):
    volume, labels = series
    order = list(np.random.default_rng(0).permutation(len(labels)))
    path = write_enhanced(tmp_path / "whole.dcm", tmp_path / "ill", order)
    found = read_volume(path)
    assert (found.modality, found.notes) == ("mri", ())
    flip = -1 if found.ijk_to_ras[:3, 2] @ volume.ijk_to_ras[:3, 2] < 0 else 1
    np.testing.assert_array_equal(found.voxels_kji, volume.voxels_kji[::flip])
    corners = np.array([[0, 0, 0], [47, 59, 0], [5, 7, 9]])
    there = corners if flip == 1 else corners * [1, 1, -1] + [0, 0, len(labels) - 1]
    np.testing.assert_allclose(found.ijk_to_ras_point(there), volume.ijk_to_ras_point(corners), atol=1e-3)
    dataset = pydicom.dcmread(write_dicom_seg(tmp_path / "x.seg.dcm", labels[::flip], found, ["a", "b"]))
    for number in (1, 2):
        expected = volume.ijk_to_ras_point(np.argwhere(labels == number)[:, ::-1])
        lying = points_of_segment(dataset, number)
        lying, expected = (points[np.lexsort(np.round(points, 2).T)] for points in (lying, expected))
        np.testing.assert_allclose(lying, expected, atol=2e-3)
    whole = pydicom.dcmread(path)
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == whole.SeriesInstanceUID


def test_frames_of_several_volumes_or_with_a_gap_are_refused(series, tmp_path):
    volume, labels = series
    path = write_enhanced(tmp_path / "whole.dcm", tmp_path / "ill", list(range(len(labels))))
    whole = pydicom.dcmread(path)
    place = whole.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence[0]
    place.ImagePositionPatient = (
        whole.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient
    )
    whole.save_as(path)
    with pytest.raises(InputError, match="not one volume of evenly spaced slices"):
        read_volume(path)


def test_frames_without_highdicom_say_what_to_install(series, tmp_path, monkeypatch):
    from MIASSAMLib.volume_io import dicom_frames

    path = write_enhanced(tmp_path / "whole.dcm", tmp_path / "ill", list(range(10)))
    monkeypatch.setattr(dicom_frames, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"miassam\[dicom\]"):
        read_volume(path)
