"""Labels land on the image's voxels exactly, or are refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk
from MIASSAMLib.errors import InputError
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import read_label, read_volume, write_segmentation, write_volume
from PIL import Image


def _image() -> Volume:
    angle = np.radians(23)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    matrix[:3, :3] *= [0.8, 0.9, 3]
    matrix[:3, 3] = [-10, 20, 30]
    return Volume(np.zeros((5, 7, 9), np.float32), matrix, name="image")


def _labels() -> np.ndarray:
    labels = np.zeros((5, 7, 9), np.float32)
    labels[1, 2:4, 3:8] = 1
    labels[3, 5, 1] = 2
    return labels


def _stored(image: Volume, labels, order, signs, offset=(0, 0, 0)) -> Volume:
    """Return the same labels with axes permuted and flipped, and the position that goes with it."""
    ijk = labels.transpose(2, 1, 0)
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    moved = ijk.transpose(order)
    for new, old in enumerate(order):
        to_old[old, new] = signs[new]
        if signs[new] < 0:
            moved = np.flip(moved, new)
            to_old[old, 3] = ijk.shape[old] - 1
    to_old[:3, 3] += offset
    return Volume(np.ascontiguousarray(moved.transpose(2, 1, 0)), image.ijk_to_ras @ to_old, name="label")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, 1), (-1, -1, -1)], ids=str)
def test_label_stored_in_any_order_gives_the_same_voxels(order, signs, tmp_path):
    path = write_volume(tmp_path / "label.nrrd", _stored(_image(), _labels(), order, signs))
    labels = read_label(path, _image())
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, _labels())


def test_cropped_label_is_put_where_it_belongs(tmp_path):
    cropped = _stored(_image(), _labels()[1:4, 2:6, 1:8], (0, 1, 2), (1, 1, 1), offset=(1, 2, 1))
    path = write_volume(tmp_path / "label.nii.gz", cropped)
    np.testing.assert_array_equal(read_label(path, _image()), _labels())


def test_own_segmentation_is_read_back_as_labels(tmp_path):
    path = write_segmentation(tmp_path / "a.seg.nrrd", _labels().astype(np.uint8), _image(), ["A", "B"])
    np.testing.assert_array_equal(read_label(path, _image()), _labels())


@pytest.mark.parametrize("shift_mm", [0.4, 1.7])
def test_label_off_the_grid_is_refused(shift_mm, tmp_path):
    matrix = _image().ijk_to_ras.copy()
    matrix[2, 3] += shift_mm
    path = write_volume(tmp_path / "label.nrrd", Volume(_labels(), matrix, name="label"))
    with pytest.raises(InputError, match=r"label\.nrrd: .*do not lie on those of image .*resample the label"):
        read_label(path, _image())


def test_label_of_another_resolution_is_refused(tmp_path):
    path = write_volume(tmp_path / "label.nrrd", Volume(_labels(), _image().ijk_to_ras @ np.diag([2.0, 2, 2, 1])))
    with pytest.raises(InputError, match="do not lie on those of image"):
        read_label(path, _image())


def test_label_reaching_outside_the_image_is_refused(tmp_path):
    path = write_volume(tmp_path / "label.nrrd", _stored(_image(), _labels(), (0, 1, 2), (1, 1, 1), offset=(5, 0, 0)))
    with pytest.raises(InputError, match="part of the label lies outside image"):
        read_label(path, _image())


def test_label_far_away_without_voxels_is_empty(tmp_path):
    far = _stored(_image(), np.zeros((5, 7, 9), np.float32), (0, 1, 2), (1, 1, 1), offset=(50, 0, 0))
    assert not read_label(write_volume(tmp_path / "label.nrrd", far), _image()).any()


def test_color_mask_counts_its_colors_and_not_its_transparency(tmp_path):
    pixels = np.zeros((6, 8, 4), np.uint8)
    pixels[..., 3] = 255
    pixels[2, 3, 1] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    Image.fromarray(pixels[..., 0]).save(tmp_path / "image.png")
    labels = read_label(tmp_path / "mask.png", read_volume(tmp_path / "image.png"))
    assert np.argwhere(labels).tolist() == [[0, 2, 3]]


def test_overlapping_segments_are_merged(tmp_path):
    layers = np.zeros((5, 7, 9, 4), np.uint8)
    layers[1, 2, 3, 3] = layers[2, 2, 2, 0] = 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "overlap.seg.nrrd"))
    like = Volume(np.zeros((5, 7, 9), np.float32), np.diag([-1.0, -1, 1, 1]), name="image")
    assert np.argwhere(read_label(tmp_path / "overlap.seg.nrrd", like)).tolist() == [[1, 2, 3], [2, 2, 2]]


def test_grey_image_given_as_label_is_refused(tmp_path):
    path = write_volume(tmp_path / "image.nrrd", Volume(_labels() + 0.5, _image().ijk_to_ras))
    with pytest.raises(InputError, match="expected whole numbers from 0 to 65535; give a label map"):
        read_label(path, _image())


def test_real_label_has_its_lesion_in_the_documented_slices(shared_data):
    image = read_volume(shared_data / "brain1_image.nrrd")
    labels = read_label(shared_data / "brain1_label.nrrd", image)
    slices = np.flatnonzero(labels.any(axis=(1, 2)))
    assert (slices[0], slices[-1]) == (11, 17)
