"""The retina in OCT, and pockets of fluid in it."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from MIASSAMLib.config import RefinedConfig
from MIASSAMLib.method.pockets import enclosure, pocket_map
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume import SlicePlane, Volume
from MIASSAMLib.volume.retina import best_path, find_retina, find_retinas, not_scanned, retina_mask

LEVEL = 0.6


@cache
def scan(seed: int, n_lesions: int, index: int):
    """Return a B-scan, its retina and its lesions, display order."""
    phantom = make_phantom("retina", seed, n_lesions)
    plane = SlicePlane.of(phantom.volume)
    arrays = (phantom.volume.voxels_kji, phantom.foreground_kji, phantom.lesion_labels_kji)
    return tuple(plane.take(array, index) for array in arrays)


def dice(first, second) -> float:
    return 2 * (first & second).sum() / (first.sum() + second.sum())


@pytest.mark.parametrize("index", [0, 8, 16])
def test_the_retina_is_found_between_vitreous_and_epithelium(index):
    pixels, retina, _ = scan(700, 0, index)
    assert dice(find_retina(pixels).mask, retina) > 0.96


def test_white_wedges_and_black_borders_are_not_tissue():
    pixels, retina, _ = scan(700, 0, 8)
    pixels = pixels.copy()
    rows, columns = np.indices(pixels.shape)
    wedge = rows < 30 - columns * 0.15
    pixels[wedge] = 255
    pixels[:, -20:] = 0
    found = find_retina(pixels)
    assert not_scanned(pixels)[wedge].mean() > 0.95
    assert not found.mask[:, -20:].any()
    assert not found.mask[wedge].any()
    assert dice(found.mask[:, :-30], retina[:, :-30]) > 0.95


def test_a_constant_picture_has_no_retina():
    assert not find_retina(np.full((64, 80), 7.0)).mask.any()


def test_depth_runs_from_the_inner_membrane_to_the_epithelium():
    pixels, _, _ = scan(700, 0, 8)
    found = find_retina(pixels)
    column = pixels.shape[1] // 2
    depth = found.depth[:, column]
    assert depth[round(found.inner[column])] < 0.05
    assert depth[round(found.outer[column])] > 0.95
    assert abs(found.height[round(found.outer[column]), column]) <= 0.5


def test_the_mask_is_at_the_same_place_in_the_patient_whatever_the_storage_order():
    volume = make_phantom("retina", 700, 0).volume
    middle = Volume(volume.voxels_kji[7:9], volume.ijk_to_ras, modality="oct")
    expected = retina_mask(middle, find_retinas(middle))
    flipped = np.eye(4)
    flipped[1, 1], flipped[1, 3] = -1, middle.shape_kji[1] - 1
    turned = Volume(middle.voxels_kji[:, ::-1].copy(), middle.ijk_to_ras @ flipped, modality="oct")
    found = retina_mask(turned, find_retinas(turned))
    np.testing.assert_array_equal(found[:, ::-1], expected)
    ijk, other = (np.argwhere(mask)[0][::-1] for mask in (expected, found[:, ::-1]))
    other = np.array([other[0], middle.shape_kji[1] - 1 - other[1], other[2]])
    np.testing.assert_allclose(middle.ijk_to_ras_point(ijk), turned.ijk_to_ras_point(other), atol=1e-9)


@pytest.mark.parametrize("index", [4, 8])
def test_a_normal_retina_has_no_pocket(index):
    assert pocket_map(scan(703, 0, index)[0]).max() < LEVEL


@pytest.mark.parametrize(("seed", "index"), [(702, 8), (704, 10)])
def test_a_cyst_is_a_pocket(seed, index):
    pixels, _, lesions = scan(seed, 2, index)
    assert dice(pocket_map(pixels) > LEVEL, lesions > 0) > 0.75


@pytest.mark.parametrize(
    "change",
    [
        {"fluid_light": (0.0, 2.0)}, {"fluid_low_um": 400.0}, {"fluid_low_weight": 0.2}, {"fluid_noise": 0.3},
        {"fluid_bright": 40.0}, {"fluid_walls": (1.5, 4.0, 3.0, 8.0)}, {"fluid_walls": (6.0, 32.0, 9.0, 64.0)},
        {"fluid_smooth": (8.0, 2.0)}, {"fluid_smooth": (2.0, 0.5)}, {"fluid_shade": (3.0, 60.0)},
        {"fluid_shade": (51.0, 100.0)},
    ],
    ids=str,
)  # fmt: skip
def test_every_number_of_a_pocket_counts(change):
    pixels = scan(701, 2, 5)[0]
    changed = pocket_map(pixels, dataclasses.replace(RefinedConfig("refined"), **change))
    assert np.abs(changed - pocket_map(pixels)).max() > 0.02


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("retina_margin_px", 5, 41), ("retina_light", (20.0, 99.0), (60.0, 99.0)),
        ("retina_light", (20.0, 99.0), (20.0, 70.0)), ("retina_blur", (1.5, 2.5), (9.0, 2.5)),
        ("retina_blur", (1.5, 2.5), (1.5, 40.0)), ("retina_bend", (2.0, 4.0), (12.0, 4.0)),
        ("retina_bend", (2.0, 4.0), (2.0, 24.0)), ("retina_thick", (24.0, 220.0), (150.0, 220.0)),
        ("retina_thick", (24.0, 220.0), (24.0, 90.0)), ("retina_quality", (12.0, 0.4), (12.0, 1.2)),
        ("retina_quality", (12.0, 0.97), (300.0, 0.97)),
    ],
)  # fmt: skip
def test_every_number_of_the_retina_counts(name, before, after):
    pixels = scan(701, 2, 5)[0].copy()
    for column in range(100, pixels.shape[1] if name == "retina_bend" else 0):  # a steep retina
        pixels[:, column] = np.roll(pixels[:, column], min(2 * (column - 100), 40))
    pixels[:, -30:] = pixels.max()  # a white wedge
    one, two = (
        find_retina(pixels, dataclasses.replace(RefinedConfig("refined"), **{name: value}))
        for value in (before, after)
    )
    assert (one.mask != two.mask).any()


def test_low_pockets_count_less():
    pixels, _, lesions = scan(701, 2, 5)
    half, whole = (
        pocket_map(pixels, dataclasses.replace(RefinedConfig("refined"), fluid_low_weight=weight))
        for weight in (0.5, 1.0)
    )
    low = (find_retina(pixels).height < 60 / 8.5) & (lesions > 0)
    assert low.sum() > 50
    np.testing.assert_allclose(half[low], whole[low] / 2, atol=0.05)


def test_enclosure_is_the_height_of_the_second_lowest_wall_and_an_open_ditch_has_none():
    ring = np.zeros((21, 21), np.float32)
    ring[5:16, 5:16] = 1
    ring[8:13, 8:13] = 0
    assert enclosure(ring, 6)[10, 10] == 1
    ditch = np.ones((21, 21), np.float32)
    ditch[10] = 0
    assert enclosure(ditch, 6)[10, 10] == 0


def test_the_best_path_bends_no_further_than_it_may():
    strength = np.zeros((9, 6))
    strength[4, :3] = strength[8, 4:] = 1
    path = best_path(strength, 1)
    assert np.abs(np.diff(path)).max() == 1
