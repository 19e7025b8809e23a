"""A correction is drawn by the function that draws automatically."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from MIASSAMLib.config import preset
from MIASSAMLib.errors import InputError
from MIASSAMLib.method import Segmenter, SegmentOptions, UserPrompts
from MIASSAMLib.phantoms import default_grid, make_phantom, vary

OBLIQUE = vary(default_grid("brain"), "oblique")


@pytest.fixture(scope="module")
def phantom():
    return make_phantom("brain", 101, 1, OBLIQUE)


def through_patient_space(reading, index: int, xy) -> np.ndarray:
    """Carry a point as the module does: to RAS, rounded as a scene file rounds, and back."""
    volume, plane = reading.prepared.volume, reading.prepared.plane
    ras = np.round(volume.ijk_to_ras_point(plane.ijk(index, np.asarray(xy))), 4)
    found_index, back = plane.slice_xy(volume.ras_to_ijk_point(ras))
    assert round(found_index) == index
    return np.asarray(back)


@pytest.mark.parametrize("changes", ["", ":axis_sigma_mm=7", ":contrast=flair", ":prompt=max", ":prompt=box"])
def test_a_drag_of_zero_pixels_changes_nothing_on_any_slice(embedded_model, brain_bank, phantom, changes):
    segmenter = Segmenter(embedded_model, brain_bank, preset(f"refined{changes}"))
    options = SegmentOptions(slices=(9, 14) if changes else None)
    result = segmenter.segment(phantom.volume, options)
    again = segmenter.open(phantom.volume)
    marked = [(item.index, finding) for item in result.slices for finding in item.findings]
    assert marked
    for index, finding in marked:
        point = UserPrompts.inside_at(through_patient_space(again, index, finding.cog_xy))
        corrected = segmenter.correct(again, index, point, options)
        np.testing.assert_array_equal(corrected.mask, finding.mask)
        assert corrected.score == finding.score


@pytest.mark.parametrize("name", ["paper", "published-code", "paper:prompt=box"])
def test_a_drag_of_zero_pixels_changes_nothing_in_the_papers_way(embedded_model, brain_bank, phantom, name):
    segmenter, options = Segmenter(embedded_model, brain_bank, preset(name)), SegmentOptions(slices=(9, 13))
    slices = segmenter.segment(phantom.volume, options).slices
    assert any(item.findings for item in slices)
    for item in slices:
        again = segmenter.open(phantom.volume)
        for finding in item.findings:
            point = UserPrompts.inside_at(through_patient_space(again, item.index, finding.cog_xy))
            np.testing.assert_array_equal(segmenter.correct(again, item.index, point).mask, finding.mask)


def test_a_drag_of_zero_pixels_changes_nothing_where_every_slice_is_marked(embedded_model, brain_bank):
    segmenter = Segmenter(embedded_model, brain_bank, preset("refined"))
    options = SegmentOptions(slices=(6, 12), all_slices=True)
    reading = segmenter.open(make_phantom("brain", 103).volume)
    findings = {item.index: item.findings for item in segmenter.segment(reading, options).slices}
    assert all(findings.values())
    for index, (finding, *_) in findings.items():
        point = UserPrompts.inside_at(finding.cog_xy)
        np.testing.assert_array_equal(segmenter.correct(reading, index, point, options).mask, finding.mask)


def sharp(phantom):
    """A phantom with a bright square that the user can point at, on a middle slice of the array."""
    voxels = phantom.volume.voxels_kji.copy()
    k = voxels.shape[0] // 2
    voxels[k, 60:80, 60:80] = voxels.max()
    return dataclasses.replace(phantom.volume, voxels_kji=voxels), k


def test_points_and_boxes_say_what_is_inside(embedded_model, brain_bank):
    volume, k = sharp(make_phantom("brain", 103))
    segmenter = Segmenter(embedded_model, brain_bank, preset("refined"))
    reading = segmenter.open(volume)
    index = round(float(reading.prepared.plane.slice_xy(np.array([70.0, 70.0, k]))[0]))
    xy = reading.prepared.plane.slice_xy(np.array([70.0, 70.0, k]))[1]
    truth = np.zeros(reading.prepared.plane.shape_yx, bool)
    pixels = reading.prepared.pixels(index)
    truth[pixels >= pixels[tuple(np.round(xy).astype(int)[::-1])]] = True
    for prompts in (
        UserPrompts.inside_at(xy),
        UserPrompts(np.zeros((0, 2)), np.zeros(0, int), np.concatenate([xy - 10.5, xy + 10.5])),
        UserPrompts(np.array([xy, xy + 30]), np.array([1, 0])),
    ):
        mask = segmenter.correct(reading, index, prompts).mask
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.6
        inside, outside = (np.round(prompts.xy[prompts.labels == label]).astype(int) for label in (1, 0))
        assert mask[inside[:, 1], inside[:, 0]].all()
        assert not mask[outside[:, 1], outside[:, 0]].any()


def test_a_segmenter_without_a_bank_outlines_what_the_user_points_at(embedded_model):
    volume, k = sharp(make_phantom("brain", 103))
    for name in ("refined", "paper"):
        segmenter = Segmenter(embedded_model, None, preset(name))
        reading = segmenter.open(volume)
        found, xy = reading.prepared.plane.slice_xy(np.array([70.0, 70.0, k]))
        mask = segmenter.correct(reading, round(float(found)), UserPrompts.inside_at(xy)).mask
        x, y = np.round(xy).astype(int)
        assert mask[y, x] and mask.sum() < 3 * 400


@pytest.mark.parametrize(
    ("index", "prompts", "words"),
    [
        (99, UserPrompts.inside_at([5, 5]), "slice 99 is not in the volume"),
        (3, UserPrompts(np.array([[5.0, 5.0]]), np.zeros(1, int)), "no point lies inside and no box"),
        (3, UserPrompts.inside_at([5, 500]), "must lie within the slice"),
    ],
)
def test_prompts_that_make_no_sense_are_refused(embedded_model, brain_bank, phantom, index, prompts, words):
    segmenter = Segmenter(embedded_model, brain_bank, preset("refined"))
    with pytest.raises(InputError, match=words):
        segmenter.correct(segmenter.open(phantom.volume), index, prompts)
