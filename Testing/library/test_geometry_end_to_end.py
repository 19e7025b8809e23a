"""The field's commonest bug is a result in the wrong place: one patient, stored every way, gives one result."""

from __future__ import annotations

import numpy as np
import pytest
from MIASSAMLib.config import preset
from MIASSAMLib.method import Segmenter, SegmentOptions
from MIASSAMLib.phantoms import default_grid, make_phantom, vary

SEED, N_LESIONS = 101, 1


@pytest.fixture(scope="module")
def segmenter(embedded_model, brain_bank) -> Segmenter:
    return Segmenter(embedded_model, brain_bank, preset("refined"))


def brain(geometry: str):
    return make_phantom("brain", SEED, N_LESIONS, vary(default_grid("brain"), geometry))


@pytest.fixture(scope="module")
def reference(segmenter):
    phantom = brain("axial")
    return phantom, segmenter.segment(phantom.volume)


def dice(first, second) -> float:
    return 2 * np.sum(first & second) / max(1, np.sum(first) + np.sum(second))


def points_ras(result) -> np.ndarray:
    return np.array([result.cog_ras(item, finding) for item in result.slices for finding in item.findings])


def sampled_at(result, points) -> np.ndarray:
    """Return the result's mask at RAS points (N, 3), nearest voxel."""
    ijk = np.round(result.prepared.volume.ras_to_ijk_point(points)).astype(int)
    shape = np.array(result.labels_kji.shape[::-1])
    inside = np.all((ijk >= 0) & (ijk < shape), axis=1)
    values = np.zeros(len(points), bool)
    i, j, k = ijk[inside].T
    values[inside] = result.labels_kji[k, j, i] > 0
    return values


def voxel_points(volume) -> np.ndarray:
    k, j, i = np.indices(volume.shape_kji).reshape(3, -1)
    return volume.ijk_to_ras_point(np.stack([i, j, k], 1))


def test_the_lesion_is_found_where_it_is(reference):
    phantom, result = reference
    truth = phantom.lesion_labels_kji > 0
    assert dice(truth, result.labels_kji > 0) > 0.5
    center = np.array([phantom.volume.ijk_to_ras_point(np.argwhere(truth)[:, ::-1].mean(0))])
    assert np.linalg.norm(points_ras(result).mean(0) - center) < 8.0


@pytest.mark.parametrize("geometry", ["sagittal", "coronal", "flipped"])
def test_permuted_and_flipped_storage_gives_exactly_the_same_masks(segmenter, reference, geometry):
    phantom, result = reference
    other = segmenter.segment(brain(geometry).volume)
    points = voxel_points(phantom.volume)
    np.testing.assert_array_equal(sampled_at(other, points), result.labels_kji.ravel() > 0)
    expected, found = points_ras(result), points_ras(other)
    order = [np.argmin(np.linalg.norm(found - point, axis=1)) for point in expected]
    np.testing.assert_allclose(found[order], expected, atol=1e-6)


def test_a_patient_lying_turned_in_the_scanner_gives_the_same_masks_in_the_patient(segmenter, reference):
    _, result = reference
    turned = brain("oblique")
    other = segmenter.segment(turned.volume)
    np.testing.assert_array_equal(other.labels_kji, result.labels_kji)
    rotation = turned.volume.ijk_to_ras @ np.linalg.inv(reference[0].volume.ijk_to_ras)
    expected = points_ras(result) @ rotation[:3, :3].T + rotation[:3, 3]
    np.testing.assert_allclose(points_ras(other), expected, atol=1e-6)


def test_a_tilted_stack_finds_the_lesion_in_the_same_place(segmenter, reference):
    phantom, _ = reference
    tilted = brain("tilted")
    result = segmenter.segment(tilted.volume, SegmentOptions(sensitivity=0.3))
    truth_points = phantom.volume.ijk_to_ras_point(np.argwhere(phantom.lesion_labels_kji > 0)[:, ::-1])
    assert sampled_at(result, truth_points).mean() > 0.3


def test_a_single_slice_keeps_its_place(segmenter, reference):
    phantom, result = reference
    index = int(np.argmax((phantom.lesion_labels_kji > 0).sum((1, 2))))
    grid = default_grid("brain").one_slice(index)
    single = make_phantom("brain", SEED, N_LESIONS, grid)
    other = segmenter.segment(single.volume)
    truth = single.lesion_labels_kji > 0
    assert truth.any() and dice(truth, other.labels_kji > 0) > 0.5
    height = single.volume.ijk_to_ras_point((0, 0, 0))[2]
    np.testing.assert_allclose(points_ras(other)[:, 2], height)


def test_only_the_selected_slices_are_segmented(segmenter, reference):
    phantom, result = reference
    middle = int(np.median([item.index for item in result.slices if item.findings]))
    part = segmenter.segment(phantom.volume, SegmentOptions(slices=(middle, middle + 2)))
    assert [item.index for item in part.slices] == [middle, middle + 1]
    outside = np.delete(part.labels_kji, [middle, middle + 1], axis=0)
    assert not outside.any()


def test_a_normal_phantom_stays_empty(segmenter):
    result = segmenter.segment(make_phantom("brain", 103).volume)
    assert result.is_normal, [item.index for item in result.slices if item.findings]
