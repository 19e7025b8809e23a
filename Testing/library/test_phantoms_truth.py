"""Phantoms: known truth, one body on every grid, normals alike but not equal."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from MIASSAMLib.errors import UsageError
from MIASSAMLib.phantoms import GEOMETRIES, KINDS, Grid, default_grid, make_phantom, vary
from MIASSAMLib.volume import SlicePlane, foreground_mask
from scipy import ndimage


def small_grid(kind: str) -> Grid:
    """Return the kind's own field of view with half the voxels along i and j."""
    grid = default_grid(kind)
    spacing = np.linalg.norm(grid.ijk_to_ras[:3, :3], axis=0)
    return grid.resampled((spacing[0] * 2, spacing[1] * 2, spacing[2]))


@cache
def phantom(kind: str, seed: int = 3, n_lesions: int = 0, geometry: str = "axial"):
    return make_phantom(kind, seed, n_lesions, vary(small_grid(kind), geometry))


@pytest.mark.parametrize("kind", KINDS)
def test_equal_arguments_give_equal_voxels_and_seeds_differ(kind):
    again = make_phantom(kind, 3, 0, small_grid(kind))
    np.testing.assert_array_equal(again.volume.voxels_kji, phantom(kind).volume.voxels_kji)
    assert (phantom(kind, 4).volume.voxels_kji != phantom(kind).volume.voxels_kji).mean() > 0.5


@pytest.mark.parametrize("kind", KINDS)
def test_normals_of_one_kind_share_their_anatomy(kind):
    first, second = (ndimage.gaussian_filter(phantom(kind, seed).volume.voxels_kji, (0, 2, 2)) for seed in (3, 4))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.85
    assert not phantom(kind).lesion_labels_kji.any() and phantom(kind).lesions == ()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 4])
def test_every_lesion_is_labeled_and_stands_out_from_the_same_body_without_it(kind, count):
    ill, healthy = phantom(kind, 6, count), phantom(kind, 6)
    assert [lesion.label for lesion in ill.lesions] == list(range(1, count + 1))
    difference = ill.volume.voxels_kji - healthy.volume.voxels_kji
    for lesion in ill.lesions:
        mask = ill.lesion_labels_kji == lesion.label
        assert mask.sum() > 15, lesion
        center = np.round(ill.volume.ras_to_ijk_point(lesion.center_ras)).astype(int)
        near = tuple(slice(max(0, c - 1), c + 2) for c in center[::-1])
        assert mask[near].any(), lesion
        change = np.median(ill.volume.voxels_kji[mask]) - np.median(healthy.volume.voxels_kji[mask])
        assert np.sign(change) == (1 if lesion.kind.startswith("bright") else -1), lesion
        assert abs(change) > 2 * np.std(healthy.volume.voxels_kji[mask]) or kind == "retina", lesion
    far = ndimage.distance_transform_edt(ill.lesion_labels_kji == 0, sampling=ill.volume.spacing_mm[::-1])
    if kind != "retina":  # there fluid lifts the layers above it
        assert (difference[far > 20] == 0).all()


def test_brain_has_bright_lesions_and_dark_cysts_and_liver_and_retina_have_dark_ones():
    kinds = {kind: {x.kind.split()[0] for x in phantom(kind, 6, 4).lesions} for kind in KINDS}
    assert kinds == {kind: {"bright", "dark"} for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("geometry", ["sagittal", "coronal", "flipped", "oblique"])
def test_storage_and_turning_with_the_patient_change_no_slice_image(kind, geometry):
    plain, other = phantom(kind, 6, 2), phantom(kind, 6, 2, geometry)
    plane, other_plane = SlicePlane.of(plain.volume, "k"), SlicePlane.of(other.volume, "auto")
    assert not np.allclose(plain.volume.ijk_to_ras, other.volume.ijk_to_ras)
    slices = plane.view(plain.volume.voxels_kji)
    other_slices = other_plane.view(other.volume.voxels_kji)
    if geometry == "flipped":
        other_slices = other_slices[::-1]
    np.testing.assert_array_equal(other_slices, slices)
    np.testing.assert_array_equal(
        np.unique(other.lesion_labels_kji, return_counts=True), np.unique(plain.lesion_labels_kji, return_counts=True)
    )


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_lesions_lie_at_their_ras_center_in_every_geometry(geometry):
    case = phantom("brain", 6, 2, geometry)
    assert len(case.lesions) == 2 and (case.lesion_labels_kji.any() or geometry == "single-slice")
    for lesion in case.lesions:
        voxels = np.argwhere(case.lesion_labels_kji == lesion.label)[:, ::-1]
        if len(voxels) and geometry != "single-slice":
            middle = case.volume.ijk_to_ras_point(voxels).mean(axis=0)
            assert np.linalg.norm(middle - lesion.center_ras) < 4, geometry


def test_tilted_stack_sees_the_same_lesion_in_the_same_place():
    plain, tilted = phantom("brain", 6, 1), phantom("brain", 6, 1, "tilted")
    ras = plain.volume.ijk_to_ras_point(np.argwhere(plain.lesion_labels_kji > 0)[:, ::-1])
    kji = np.round(tilted.volume.ras_to_ijk_point(ras)).astype(int)[:, ::-1]
    seen = tilted.lesion_labels_kji[tuple(np.clip(kji, 0, np.array(tilted.volume.shape_kji) - 1).T)]
    assert seen.mean() > 0.8


@pytest.mark.parametrize(("kind", "modality"), [("brain", "mri"), ("liver", "ct"), ("retina", "oct")])
def test_intensities_are_of_their_modality(kind, modality):
    voxels = phantom(kind).volume.voxels_kji
    assert phantom(kind).volume.modality == modality and np.isfinite(voxels).all()
    if kind == "liver":
        assert voxels.min() >= -1024 and 90 < np.median(voxels[phantom(kind).foreground_kji & (voxels > 70)]) < 130
    if kind == "retina":
        assert voxels.min() >= 0 and voxels.max() <= 255 and (voxels == np.round(voxels)).all()


def test_foreground_agrees_with_the_measured_one():
    for kind in ("brain", "liver", "retina"):
        true, found = phantom(kind).foreground_kji, foreground_mask(phantom(kind).volume)
        assert 2 * (true & found).sum() / (true.sum() + found.sum()) > 0.9, kind


def test_single_slice_is_that_slice_of_the_volume():
    grid = small_grid("brain")
    one = make_phantom("brain", 3, 0, grid.one_slice(9))
    np.testing.assert_array_equal(one.volume.voxels_kji[0], phantom("brain").volume.voxels_kji[9])


def test_unknown_kind_and_geometry_are_refused():
    with pytest.raises(UsageError, match="no phantom 'knee'; choose one of brain, liver, retina"):
        make_phantom("knee")
    with pytest.raises(UsageError, match="geometry 'round' is unknown; choose one of axial"):
        vary(small_grid("brain"), "round")
