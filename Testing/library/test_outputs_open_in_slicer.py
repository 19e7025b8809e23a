"""Every output is opened by Slicer's own storage nodes and lies where the voxels say."""

from __future__ import annotations

import numpy as np
import pytest
from library.mrml_reading import read_markups_node, read_segmentation_node, read_volume_node, segment_points_ras
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import MarkupPoint, write_heat_map, write_markups, write_segmentation, write_volume


def _rotation(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    c, s = np.cos(angle), np.sin(angle)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return about_z @ about_x


def _geometry(directions: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = directions * np.array(spacing)
    matrix[:3, 3] = [-31.25, 17.5, -204.0]
    return matrix


GEOMETRIES = {
    "axis-aligned": _geometry(np.eye(3), (1, 1, 1)),
    "flipped": _geometry(np.diag([-1.0, 1.0, -1.0]), (1, 1, 1)),
    "permuted": _geometry(np.eye(3)[:, [2, 0, 1]], (0.8, 0.9, 2.5)),
    "oblique": _geometry(_rotation(23), (1, 1, 1)),
    "anisotropic-oblique": _geometry(_rotation(-23) @ np.diag([1, -1, 1.0]), (0.78, 0.78, 6.5)),
}


@pytest.fixture(params=GEOMETRIES, ids=str)
def volume(request) -> Volume:
    rng = np.random.default_rng(7)
    return Volume(rng.normal(size=(5, 7, 9)).astype(np.float32), GEOMETRIES[request.param], name="case")


def _labels(volume: Volume) -> np.ndarray:
    labels = np.zeros(volume.shape_kji, np.uint8)
    labels[1:3, 2:5, 1:4] = 1
    labels[3, 6, 7:] = 2
    return labels


def _assert_same_in_space(node, voxels_kji: np.ndarray, volume: Volume) -> None:
    """Compare voxel by voxel at equal RAS: Slicer turns left-handed volumes round while it loads them."""
    ijk = np.argwhere(np.ones(node.voxels_kji.shape, bool))[:, ::-1]
    ras = ijk @ node.ijk_to_ras[:3, :3].T + node.ijk_to_ras[:3, 3]
    ours = volume.ras_to_ijk_point(ras)
    np.testing.assert_allclose(ours, np.round(ours), atol=1e-3)
    i, j, k = np.round(ours).astype(int).T
    assert len(set(zip(i, j, k))) == voxels_kji.size
    np.testing.assert_array_equal(node.voxels_kji.ravel(), voxels_kji[k, j, i])


def _sorted(points: np.ndarray) -> np.ndarray:
    return points[np.lexsort(np.round(points, 3).T)]


def test_segments_lie_on_the_labeled_voxels_in_ras(volume, tmp_path):
    labels = _labels(volume)
    path = write_segmentation(tmp_path / "case.seg.nrrd", labels, volume, ["Anomaly 1", "Anomaly 2"])
    segments = read_segmentation_node(path)
    assert [segment.name for segment in segments] == ["Anomaly 1", "Anomaly 2"]
    for number, segment in enumerate(segments, 1):
        expected = volume.ijk_to_ras_point(np.argwhere(labels == number)[:, ::-1])
        np.testing.assert_allclose(_sorted(segment_points_ras(segment)), _sorted(expected), atol=1e-4)


def test_segments_carry_color_and_terminology(volume, tmp_path):
    path = write_segmentation(tmp_path / "a.seg.nrrd", _labels(volume), volume, ["A", "B"], [(1, 0, 0), (0, 0.5, 1)])
    segments = read_segmentation_node(path)
    assert [tuple(segment.color) for segment in segments] == [(1, 0, 0), (0, 0.5, 1)]
    for segment in segments:
        assert "~SCT^49755003^Morphologically Altered Structure~SCT^4147007^Mass~" in segment.terminology
        assert segment.terminology.startswith("Segmentation category and type - DICOM master list~")


@pytest.mark.parametrize("names", [["Anomaly"], []])
def test_segmentation_without_anomaly_opens(names, volume, tmp_path):
    path = write_segmentation(tmp_path / "none.seg.nrrd", np.zeros(volume.shape_kji, np.uint8), volume, names)
    segments = read_segmentation_node(path)
    assert [segment.name for segment in segments] == names
    assert all(len(segment_points_ras(segment)) == 0 for segment in segments)


def test_segmentation_of_more_than_255_lesions_opens(tmp_path):
    volume = Volume(np.zeros((4, 10, 10), np.float32), np.eye(4))
    labels = np.arange(400, dtype=np.uint16).reshape(4, 10, 10)
    path = write_segmentation(tmp_path / "many.seg.nrrd", labels, volume, [f"Anomaly {n}" for n in range(1, 400)])
    segments = read_segmentation_node(path)
    assert len(segments) == 399
    np.testing.assert_allclose(segment_points_ras(segments[398]), [[9, 9, 3]], atol=1e-5)


def test_heat_map_keeps_voxels_and_geometry(volume, tmp_path):
    heat = np.random.default_rng(1).random(volume.shape_kji).astype(np.float32)
    node = read_volume_node(write_heat_map(tmp_path / "case_anomaly.nii.gz", heat, volume))
    _assert_same_in_space(node, heat, volume)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_written_volume_keeps_voxels_and_geometry(suffix, volume, tmp_path):
    node = read_volume_node(write_volume(tmp_path / f"case{suffix}", volume))
    _assert_same_in_space(node, volume.voxels_kji, volume)


def test_single_slice_heat_map_keeps_its_place(tmp_path):
    volume = Volume(np.arange(48, dtype=np.float32).reshape(1, 6, 8), GEOMETRIES["anisotropic-oblique"])
    node = read_volume_node(write_heat_map(tmp_path / "one.nii.gz", volume.voxels_kji, volume))
    _assert_same_in_space(node, volume.voxels_kji, volume)


def test_markups_keep_label_description_and_ras(volume, tmp_path):
    ras = volume.ijk_to_ras_point([4.25, 3.5, 2])
    points = [MarkupPoint("slice 2", tuple(ras), "score 3.1 å"), MarkupPoint("slice 3", (1.5, -2, 3), is_locked=True)]
    found = read_markups_node(write_markups(tmp_path / "case_cog.mrk.json", points))
    assert [(p.label, p.description, p.locked) for p in found] == [
        ("slice 2", "score 3.1 å", False),
        ("slice 3", "", True),
    ]
    np.testing.assert_allclose(found[0].ras, ras, atol=1e-5)
    np.testing.assert_allclose(found[1].ras, [1.5, -2, 3], atol=1e-5)


def test_markups_without_points_open(tmp_path):
    assert read_markups_node(write_markups(tmp_path / "none.mrk.json", [])) == []
