"""What the readers take, what they refuse, and in which words."""

from __future__ import annotations

import os

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from MIASSAMLib.errors import InputError
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import (
    read_volume,
    write_volume,
)
from PIL import Image


def _voxels(shape=(6, 8, 10), seed=0) -> np.ndarray:
    return (np.random.default_rng(seed).random(shape) * 1000).astype(np.float32)


def _sitk_image(array: np.ndarray, is_vector=False):
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    if image.GetDimension() == 3:
        image.SetSpacing((0.5, 0.75, 3.0))
        image.SetOrigin((10, -20, 30))
        image.SetDirection((1, 0, 0, 0, -1, 0, 0, 0, 1))
    return image


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "mhd", "nhdr"])
def test_position_is_ras_in_every_format(suffix, tmp_path):
    array = _voxels()
    path = tmp_path / f"a.{suffix}"
    sitk.WriteImage(_sitk_image(array), str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels_kji, array)
    expected = [[-0.5, 0, 0, -10], [0, 0.75, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-6)
    assert (volume.name, volume.notes, volume.voxels_kji.dtype) == ("a", (), np.float32)
    assert volume.voxels_kji.flags.c_contiguous


def test_oblique_position_survives_writing_and_reading(tmp_path):
    angle = np.radians(23)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, :3] *= [0.8, 1.1, 4]
    matrix[:3, 3] = [3, -70, 12.5]
    volume = Volume(_voxels(), matrix, name="x")
    for suffix in ("nii.gz", "nrrd", "mha"):
        again = read_volume(write_volume(tmp_path / f"x.{suffix}", volume))
        np.testing.assert_array_equal(again.voxels_kji, volume.voxels_kji)
        np.testing.assert_allclose(again.ijk_to_ras, matrix, atol=1e-4)


def test_nifti_scaling_is_applied(tmp_path):
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(stored, np.eye(4))
    image.header.set_slope_inter(2, -1024)
    nibabel.save(image, tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(read_volume(tmp_path / "ct.nii.gz").voxels_kji, stored.T * 2.0 - 1024)


def test_nifti_with_two_places_is_put_where_slicer_puts_it(tmp_path):
    image = nibabel.Nifti1Image(_voxels(), np.eye(4))
    moved = np.eye(4)
    moved[:3, 3] = [30, 0, 0]
    image.set_qform(np.eye(4), 1)
    image.set_sform(moved, 2)
    nibabel.save(image, tmp_path / "two.nii")
    volume = read_volume(tmp_path / "two.nii")
    seen = sitk.ReadImage(str(tmp_path / "two.nii"))
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 3], np.array(seen.GetOrigin()) * [-1, -1, 1], atol=1e-5)


def test_sheared_nifti_keeps_its_own_axes(tmp_path):
    matrix = np.diag([1.0, 2.0, 3.0, 1.0])
    matrix[0, 1] = 0.6
    image = nibabel.Nifti1Image(_voxels(), matrix)
    image.set_qform(None, 0)
    nibabel.save(image, tmp_path / "shear.nii.gz")
    volume = read_volume(tmp_path / "shear.nii.gz")
    np.testing.assert_allclose(volume.ijk_to_ras, matrix, atol=1e-6)
    assert "right angles" in volume.notes[0]
    again = read_volume(write_volume(tmp_path / "again.nii.gz", volume))
    np.testing.assert_allclose(again.ijk_to_ras, matrix, atol=1e-6)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha", "png", "tif", "jpg", "bmp"])
@pytest.mark.parametrize("share", [0.4, 0.97])
def test_file_cut_short_is_refused(suffix, share, tmp_path):
    path = tmp_path / f"cut.{suffix}"
    if suffix in ("png", "jpg", "bmp"):
        Image.fromarray(_voxels((64, 64)).astype(np.uint8)).save(path)
    else:
        sitk.WriteImage(_sitk_image(_voxels((20, 30, 40)).astype(np.int16)), str(path), suffix != "nii")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"cut\.\w+.*cut short or damaged; copy it again"):
        read_volume(path)


@pytest.mark.parametrize("name", ["text.nii.gz", "text.nrrd", "text.mha", "text.png", "text.tif", "text.dcm"])
def test_file_of_rubbish_is_refused(name, tmp_path):
    (tmp_path / name).write_text("these are no voxels " * 50)
    with pytest.raises(InputError, match="text"):
        read_volume(tmp_path / name)


def test_missing_empty_and_unknown_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        read_volume(tmp_path / "none.nrrd")
    (tmp_path / "empty.nrrd").touch()
    with pytest.raises(InputError, match="file is empty"):
        read_volume(tmp_path / "empty.nrrd")
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="unknown kind of file; expected NIfTI"):
        read_volume(tmp_path / "notes.txt")


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd"])
def test_four_dimensional_volume_is_refused(suffix, tmp_path):
    path = tmp_path / f"time.{suffix}"
    if suffix == "nrrd":
        sitk.WriteImage(sitk.JoinSeries([_sitk_image(_voxels()), _sitk_image(_voxels())]), str(path))
    else:
        nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 2), np.float32), np.eye(4)), path)
    with pytest.raises(InputError, match=r"time.*4-D .*2 volumes in one file; expected one 3-D volume; save one"):
        read_volume(path)


def test_fourth_dimension_of_one_is_dropped(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6, 1), np.float32), np.eye(4)), tmp_path / "one.nii.gz")
    assert read_volume(tmp_path / "one.nii.gz").shape_kji == (6, 5, 4)


def test_vector_volume_is_refused(tmp_path):
    sitk.WriteImage(_sitk_image(_voxels((4, 5, 6, 3)), is_vector=True), str(tmp_path / "rgb.nrrd"))
    with pytest.raises(InputError, match="3 values per voxel .*expected one grey value"):
        read_volume(tmp_path / "rgb.nrrd")


def test_nan_and_infinity_are_replaced_and_noted(tmp_path):
    array = _voxels() + 5
    array[0, 0, :2] = np.nan
    array[1, 1, 1] = np.inf
    sitk.WriteImage(_sitk_image(array), str(tmp_path / "nan.nrrd"))
    volume = read_volume(tmp_path / "nan.nrrd")
    lowest = array[np.isfinite(array)].min()
    assert (volume.voxels_kji[0, 0, :2] == lowest).all() and volume.voxels_kji[1, 1, 1] == lowest
    assert "3 of 480 voxels were NaN or infinite" in volume.notes[0]


def test_volume_of_nan_is_refused(tmp_path):
    sitk.WriteImage(_sitk_image(np.full((4, 5, 6), np.nan, np.float32)), str(tmp_path / "nan.nrrd"))
    with pytest.raises(InputError, match="every voxel is NaN or infinite"):
        read_volume(tmp_path / "nan.nrrd")


def test_grey_picture_is_one_slice(tmp_path):
    pixels = _voxels((20, 30)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    np.testing.assert_array_equal(volume.voxels_kji, pixels[None])
    assert volume.modality == "oct" and "1 x 1 mm" in volume.notes[0]


def test_sixteen_bit_png_keeps_its_values(tmp_path):
    pixels = (_voxels((20, 30)) * 60).astype(np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_volume(tmp_path / "a.png").voxels_kji[0], pixels)


def test_color_picture_becomes_luminance_with_a_note(tmp_path):
    pixels = np.zeros((2, 3, 3), np.uint8)
    pixels[..., 1] = 200
    Image.fromarray(pixels).save(tmp_path / "a.png")
    volume = read_volume(tmp_path / "a.png")
    np.testing.assert_allclose(volume.voxels_kji, 0.587 * 200, rtol=1e-6)
    assert any("luminance" in note for note in volume.notes)


def test_palette_picture_shows_its_colors_not_its_indexes(tmp_path):
    picture = Image.fromarray(np.array([[0, 1]], np.uint8), mode="P")
    picture.putpalette([250, 250, 250, 10, 10, 10])
    picture.save(tmp_path / "p.png")
    np.testing.assert_allclose(read_volume(tmp_path / "p.png").voxels_kji, [[[250, 10]]], rtol=1e-5)


def test_multi_page_tiff_is_a_volume(tmp_path):
    array = (_voxels((5, 20, 30)) * 50).astype(np.uint16)
    pages = [Image.fromarray(page) for page in array]
    pages[0].save(tmp_path / "stack.tif", save_all=True, append_images=pages[1:])
    np.testing.assert_array_equal(read_volume(tmp_path / "stack.tif").voxels_kji, array)


def test_long_and_non_ascii_paths_are_read_and_written(tmp_path):
    folder = tmp_path.joinpath(*["Größe_脳_é" * 8] * 4)
    folder.mkdir(parents=True)
    volume = Volume(_voxels(), np.eye(4), name="ñ")
    for suffix in (".nii.gz", ".nrrd", ".mha"):
        path = folder / ("ü" * (127 - len(suffix)) + suffix)
        assert len(os.fsencode(path.name)) > 240
        np.testing.assert_array_equal(read_volume(write_volume(path, volume)).voxels_kji, volume.voxels_kji)
    Image.fromarray(_voxels((8, 8)).astype(np.uint8)).save(folder / "bild_脳.png")
    assert read_volume(folder / "bild_脳.png").name == "bild_脳"


def test_real_brain_lies_where_its_header_says(shared_data):
    volume = read_volume(shared_data / "brain1_image.nrrd")
    assert volume.shape_kji == (25, 256, 256) and volume.modality == "mri"
    expected = np.diag([-0.78125, 0.78125, 6.5, 1])
    expected[:3, 3] = [99.609375, -99.609375, -78]
    np.testing.assert_allclose(volume.ijk_to_ras, expected, atol=1e-6)


def test_real_ct_is_in_hounsfield_units(shared_data):
    volume = read_volume(shared_data / "example_ct.nii.gz")
    assert volume.modality == "ct" and volume.voxels_kji.min() <= -900
    np.testing.assert_allclose(volume.spacing_mm, 3, atol=1e-3)
