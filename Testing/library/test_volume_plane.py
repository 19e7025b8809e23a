"""Cutting a volume: one display orientation whatever the storage order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.volume import SlicePlane, Volume

SPACING = (0.9, 1.1, 4.0)


def axial_volume(shape_kji=(5, 7, 9), spacing=SPACING) -> Volume:
    """RAS-aligned storage: i runs right to left, j anterior to posterior, k inferior to superior."""
    voxels = np.arange(np.prod(shape_kji), dtype=np.float32).reshape(shape_kji)
    matrix = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    matrix[:3, 3] = (40, 50, -30)
    return Volume(voxels, matrix)


def stored_otherwise(volume: Volume, order: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> Volume:
    """Return the same patient with storage axes i, j, k permuted and flipped."""
    permuted = volume.voxels_kji.transpose([2 - axis for axis in order][::-1])
    matrix = np.eye(4)
    matrix[:3, :3] = volume.ijk_to_ras[:3, list(order)]
    matrix[:3, 3] = volume.ijk_to_ras[:3, 3]
    for axis, flip in enumerate(flips):
        if flip:
            permuted = np.flip(permuted, 2 - axis)
            matrix[:3, 3] += matrix[:3, axis] * (permuted.shape[2 - axis] - 1)
            matrix[:3, axis] *= -1
    return Volume(np.ascontiguousarray(permuted), matrix)


STORAGES = list(itertools.product(itertools.permutations(range(3)), itertools.product((False, True), repeat=3)))


@pytest.mark.parametrize(("order", "flips"), STORAGES)
def test_every_storage_order_gives_the_same_slice_images(order, flips):
    reference = axial_volume()
    plane = SlicePlane.of(reference)
    stored = stored_otherwise(reference, order, flips)
    other = SlicePlane.of(stored)
    assert other.orientation == plane.orientation == "axial"
    images = {round(float(stored.ijk_to_ras_point(other.ijk(n, (0, 0)))[2]), 3): n for n in range(other.n_slices)}
    for index in range(plane.n_slices):
        height = round(float(reference.ijk_to_ras_point(plane.ijk(index, (0, 0)))[2]), 3)
        np.testing.assert_array_equal(
            other.take(stored.voxels_kji, images[height]), plane.take(reference.voxels_kji, index)
        )


@pytest.mark.parametrize(("order", "flips"), STORAGES[::5])
@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal", "i", "j", "k"])
def test_a_pixel_keeps_its_place_in_the_patient(order, flips, axis):
    stored = stored_otherwise(axial_volume(), order, flips)
    plane = SlicePlane.of(stored, axis)
    pixel = plane.take(stored.voxels_kji, 2)[3, 1]
    i, j, k = plane.ijk(2, (1, 3)).astype(int)
    assert stored.voxels_kji[k, j, i] == pixel
    index, xy = plane.slice_xy((i, j, k))
    assert (index, *xy) == (2, 1, 3)


def test_display_is_radiological():
    volume = axial_volume()
    top_left, right = (volume.ijk_to_ras_point(SlicePlane.of(volume).ijk(0, xy)) for xy in ((0, 0), (8, 0)))
    below = volume.ijk_to_ras_point(SlicePlane.of(volume).ijk(0, (0, 6)))
    assert top_left[0] > right[0], "columns run from the patient's right to left"
    assert top_left[1] > below[1], "rows run from anterior to posterior"


def test_put_writes_where_take_reads():
    volume = stored_otherwise(axial_volume(), (2, 0, 1), (True, False, True))
    plane = SlicePlane.of(volume)
    target = np.zeros_like(volume.voxels_kji)
    for index in range(plane.n_slices):
        plane.put(target, index, plane.take(volume.voxels_kji, index))
    np.testing.assert_array_equal(target, volume.voxels_kji)


def test_auto_cuts_along_the_largest_spacing_else_axial():
    assert SlicePlane.of(axial_volume(spacing=(4, 1, 1))).orientation == "sagittal"
    assert SlicePlane.of(axial_volume(spacing=(1, 4, 1))).orientation == "coronal"
    assert SlicePlane.of(axial_volume(spacing=(1, 1, 1.02))).orientation == "axial"
    single = axial_volume(shape_kji=(9, 1, 9), spacing=(1, 1, 1))
    assert SlicePlane.of(single).n_slices == 1


def test_an_unknown_axis_is_refused_by_name():
    with pytest.raises(UsageError, match="slice axis 'up' is unknown; choose one of auto"):
        SlicePlane.of(axial_volume(), "up")


def test_a_vector_volume_is_refused():
    with pytest.raises(InputError, match=r"shape \(2, 3, 4, 5\); expected a scalar volume"):
        Volume(np.zeros((2, 3, 4, 5), np.float32), np.eye(4))


def test_a_degenerate_geometry_is_refused():
    with pytest.raises(InputError, match="degenerate"):
        Volume(np.zeros((2, 3, 4), np.float32), np.diag([1.0, 1.0, 0.0, 1.0]))
