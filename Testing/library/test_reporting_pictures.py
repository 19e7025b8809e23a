"""The contact sheet shows the slice, the heat, the outline and the center where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from MIASSAMLib.method import CaseResult, Finding, SliceResult
from MIASSAMLib.method.prepare import PreparedVolume, Preprocessing
from MIASSAMLib.outputs import case_record, draw_case_sheet
from MIASSAMLib.outputs.record import area_words, size_words
from MIASSAMLib.outputs.sheet import case_sheet, round_ticks, telling_slices
from MIASSAMLib.outputs.tile import (
    LESION_COLORS,
    HeatScale,
    draw_tile,
    heat_table,
    overlay,
    round_length,
    tile_size,
)
from MIASSAMLib.volume import Volume

SIZE = (200, 160)


def make_case(
    n_slices: int = 5, lesion_on: tuple[int, ...] = (2,), spacing=(1.0, 1.0, 4.0), has_spacing=True
) -> CaseResult:
    """Return a case of 40 x 50 px slices: lesion at rows 10..19, columns 30..39 with heat 8, else 0."""
    voxels = np.full((n_slices, 40, 50), 100, np.float32)
    voxels[:, :2] = 0
    matrix = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    prepared = PreparedVolume.of(Volume(voxels, matrix, "case", "mri", has_spacing=has_spacing), Preprocessing())
    labels, heat = np.zeros(voxels.shape, np.uint16), np.zeros(voxels.shape, np.float32)
    slices = []
    for k in range(n_slices):
        findings = ()
        if k in lesion_on:
            labels[k, 10:20, 30:40], heat[k, 10:20, 30:40] = 1, 8
            mask = labels[k] > 0
            findings = (Finding(mask, (34.5, 14.5), "3", "cog", 0.8, 100.0, (1, 2, 3), (0.5, 0.6, 0.7), 8.0),)
        slices.append(SliceResult(k, float(heat[k].max()) + k / 100, 0.01, findings))
    run = {"preset": "refined", "model": {"name": "embedded"}}
    return CaseResult(prepared, tuple(slices), heat, labels, "standard deviations above normal", run)


def _tile(case: CaseResult, index: int = 2) -> np.ndarray:
    return np.asarray(draw_tile(case, case.slices[index], SIZE, HeatScale.of(case))).astype(int)


def test_heat_table_is_ordered_by_lightness_without_jumps():
    lightness = heat_table() @ np.array([0.2126, 0.7152, 0.0722])
    steps = np.diff(lightness)
    assert steps.min() > -0.5 and steps.max() < 3 and lightness[-1] - lightness[0] > 180


def test_overlay_shows_the_bare_picture_where_nothing_is_unusual():
    grey = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    shown = overlay(grey, np.zeros((3, 4), np.float32))
    np.testing.assert_array_equal(shown, np.repeat((255 * grey).round()[..., None], 3, axis=2))
    hot = overlay(grey, np.ones((3, 4), np.float32))
    assert (np.abs(hot.astype(int) - heat_table()[-1]).max(axis=2) <= 75).all()


def test_outline_runs_round_the_lesion_and_nowhere_else():
    outline = (_tile(make_case()) == LESION_COLORS[0]).all(axis=2)
    y, x = np.nonzero(outline)
    assert (y.min(), y.max()) == (38, 81) and (x.min(), x.max()) == (118, 161)
    assert not outline[42:78, 122:158].any()


def test_heat_is_drawn_in_the_lesion_only():
    tile = _tile(make_case())
    colored = np.abs(tile - tile.mean(axis=2, keepdims=True)).max(axis=2) > 4
    assert colored[44:56, 124:136].all()
    assert not colored[:, :100].any() and not colored[100:].any()


def test_cross_marks_the_center_of_gravity():
    tile = _tile(make_case())
    white = (tile >= 250).all(axis=2)
    y, x = np.nonzero(white)
    assert abs(y.mean() - 60) < 1 and abs(x.mean() - 140) < 1


def test_proportions_follow_millimeters():
    assert tile_size(make_case(), (250, 250)) == (250, 200)
    assert tile_size(make_case(spacing=(1.0, 1.5, 4)), (250, 250)) == (208, 250)
    assert tile_size(make_case(spacing=(1.0, 0.1, 4)), (250, 250)) == (250, 125)


def test_picture_without_position_gets_no_letters_and_no_scale_bar():
    def bare(has_spacing):
        case = make_case(has_spacing=has_spacing)
        return np.asarray(draw_tile(case, case.slices[0], SIZE, None)).astype(int)

    assert np.ptp(bare(False), axis=2).max() == 0
    assert np.ptp(bare(True), axis=2).max() > 50


def with_lesions(case: CaseResult, lesion_of: dict[int, int]) -> CaseResult:
    """Return a case whose slices show several lesions: slice -> lesion, the higher slice scoring higher."""
    slices = []
    for item in case.slices:
        number = lesion_of.get(item.index)
        found = [replace(f, lesion=number, score=5 + item.index / 100) for f in item.findings] if number else ()
        slices.append(replace(item, findings=tuple(found)))
    return replace(case, slices=tuple(slices))


def test_sheet_shows_segmented_slices_else_the_highest_scores():
    assert {item.index for item in telling_slices(make_case(20, (3, 7)))} == {3, 7}
    assert [item.index for item in telling_slices(make_case(20, ()))] == list(range(8, 20))


def test_twelve_of_thirteen_anomalies_were_on_no_sheet():
    """The slices with the highest scores all showed one anomaly; each one's best slice comes first now."""
    lesion_of = dict.fromkeys(range(20, 40), 1) | {index: index + 2 for index in range(13)}
    case = with_lesions(make_case(40, tuple(lesion_of)), lesion_of)
    shown = telling_slices(case)
    assert {lesion_of[item.index] for item in shown} == set(range(1, 15)) and shown[0].index == 39
    many = with_lesions(make_case(40, tuple(range(40))), {index: index + 1 for index in range(40)})
    assert len(telling_slices(many)) == 24


def test_further_slices_follow_in_storage_order():
    lesion_of = {2: 1, 5: 1, 9: 2, 11: 2}
    assert [item.index for item in telling_slices(with_lesions(make_case(12, tuple(lesion_of)), lesion_of))] == [
        11, 5, 2, 9,
    ]  # fmt: skip


def test_one_slice_has_no_histogram():
    def height(n_slices):
        case = make_case(n_slices, (0,))
        return case_sheet(case, case_record(case)).height

    assert height(1) < height(2)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 1.97, [0, 0.5, 1, 1.5]), (1.0, 6.0, [2, 4, 6]), (0.812, 2.37, [1, 1.5, 2]), (0, 0.00043, [0, 2e-4, 4e-4])],
)
def test_ticks_are_round(low, high, ticks):
    assert round_ticks(low, high, 4) == ticks


@pytest.mark.parametrize(
    ("last", "ticks"), [(1, [0, 1]), (19, [0, 5, 10, 15]), (154, [0, 20, 40, 60, 80, 100, 120, 140])]
)
def test_slices_are_counted_in_whole_numbers(last, ticks):
    assert round_ticks(0, last, 8, whole=True) == ticks


@pytest.mark.parametrize(("n_slices", "lesion_on"), [(1, (0,)), (1, ()), (3, (0, 1)), (30, tuple(range(20)))])
def test_sheet_is_drawn_for_any_number_of_slices(n_slices, lesion_on, tmp_path):
    from PIL import Image

    case = make_case(n_slices, lesion_on)
    path = draw_case_sheet(tmp_path / "å.png", case, case_record(case))
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    assert pixels.shape[1] >= 860 and (pixels.max(axis=2) > 60).mean() > 0.2
    assert list(tmp_path.iterdir()) == [path]


def test_sheet_of_a_flat_map_is_drawn():
    case = make_case(3, ())
    assert HeatScale.of(case).high > HeatScale.of(case).low
    assert case_sheet(case, case_record(case)).width >= 860


@pytest.mark.parametrize(("longest", "expected"), [(73, 50), (1.8, 1), (0.43, 0.2), (20, 20), (999, 500)])
def test_scale_bar_has_a_round_length(longest, expected):
    assert round_length(longest) == pytest.approx(expected)


def test_small_volumes_are_given_in_cubic_millimeters():
    assert (size_words(1234.5), size_words(12.345), size_words(0.000232)) == ("1234 ml", "12.3 ml", "0.232 mm3")


def test_large_areas_are_given_without_an_exponent():
    assert [area_words(mm2) for mm2 in (1112.3, 12.345, 0.0123)] == ["1112 mm2", "12.3 mm2", "0.0123 mm2"]
