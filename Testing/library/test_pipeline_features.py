"""Patch features: intensity at the patch centers, and where a patch lies in the body."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from MIASSAMLib.config import preset
from MIASSAMLib.method import PreparedVolume, Preprocessing, normal_slices
from MIASSAMLib.method.features import extract_features, foreground_patches
from MIASSAMLib.method.patches import intensity_statistics, patch_places
from MIASSAMLib.volume import Volume

REFINED = preset("refined")


def disk(center_xy=(128, 128), radius=60) -> np.ndarray:
    rows, columns = np.mgrid[:256, :256]
    return (columns - center_xy[0]) ** 2 + (rows - center_xy[1]) ** 2 <= radius**2


def test_statistics_of_a_constant_raster_are_its_value_and_no_spread():
    rows = intensity_statistics(np.full((1, 256, 256), 0.4, np.float32), REFINED)[0]
    np.testing.assert_allclose(rows[:, :4], 0.4, atol=1e-6)
    np.testing.assert_allclose(rows[:, 4:], 0, atol=1e-3)


def test_a_bright_spot_is_seen_at_the_patch_it_is_in():
    raster = np.zeros((1, 256, 256), np.float32)
    raster[0, 81:83, 161:163] = 1  # the center of patch row 10, column 20
    row, column = np.unravel_index(intensity_statistics(raster, REFINED)[0, :, 0].argmax(), (32, 32))
    assert (row, column) == (10, 20)


def test_statistics_do_not_depend_on_the_raster_side():
    small = np.random.default_rng(0).random((1, 256, 256)).astype(np.float32)
    large = small.repeat(4, 1).repeat(4, 2)
    np.testing.assert_allclose(intensity_statistics(large, REFINED), intensity_statistics(small, REFINED), atol=1e-6)


def test_places_follow_the_body_through_the_frame():
    here, there = (patch_places(disk(center)).reshape(32, 32, 2) for center in ((96, 128), (160, 128)))
    np.testing.assert_allclose(here[:, :24], there[:, 8:], atol=1e-6)
    bigger = patch_places(disk(radius=120)).reshape(32, 32, 2)
    assert abs(bigger[16, 31, 0]) < abs(patch_places(disk(radius=60)).reshape(32, 32, 2)[16, 31, 0])


def test_place_joins_the_intensity_features_by_its_weight():
    rasters, foregrounds = np.zeros((1, 256, 256), np.float32), [disk()]
    embeddings = torch.zeros(1, 256, 64, 64)
    rows = extract_features(embeddings, rasters, foregrounds, REFINED)["intensity"][0]
    np.testing.assert_allclose(rows[:, 6:], REFINED.place_weight * patch_places(disk()), atol=1e-6)
    without = dataclasses.replace(REFINED, place_weight=0.0)
    assert extract_features(embeddings, rasters, foregrounds, without)["intensity"].shape == (1, 1024, 6)


def test_only_patches_that_touch_the_body_count():
    wanted = foreground_patches(disk(radius=30), REFINED).reshape(32, 32)
    assert wanted[16, 16] and not wanted[2, 2]
    assert not foreground_patches(np.zeros((256, 256), bool), REFINED).any()


@pytest.mark.parametrize(("margin", "wanted"), [(0, [0, 1, 3, 4]), (1, [0, 4]), (2, [])])
def test_bug_a_lesion_margin_of_no_slices_left_out_the_whole_volume(margin, wanted):
    voxels = np.zeros((5, 40, 40), np.float32)
    voxels[:, 8:32, 8:32] = 100 + np.arange(24, dtype=np.float32)
    lesion = np.zeros(voxels.shape, np.uint8)
    lesion[2, 10, 10] = 1
    prepared = PreparedVolume.of(Volume(voxels, np.diag([1.0, 1.0, 5.0, 1.0]), modality="mri"), Preprocessing())
    assert normal_slices(prepared, lesion, margin) == wanted
