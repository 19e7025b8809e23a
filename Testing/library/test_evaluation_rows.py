"""From records to rows: the figures of streamed records against direct computation on the pixels."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from library.evaluation_trees import FakeModel
from MIASSAMLib.config import DEFAULT, PRESETS
from MIASSAMLib.evaluation import baselines
from MIASSAMLib.evaluation.case_view import CaseView, MaskStack
from MIASSAMLib.evaluation.cases import EvaluationCase, LabeledVolume
from MIASSAMLib.evaluation.pooling import add_level_rows, pool_records
from MIASSAMLib.evaluation.record import load_record, save_record
from MIASSAMLib.evaluation.rows import BEST_MASKS, CEILING, RowKey, make_rows
from MIASSAMLib.evaluation.tables import render_tables
from MIASSAMLib.method import Preprocessing
from MIASSAMLib.volume import Volume
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

SHAPE = (14, 40, 48)
KEY = RowKey("MIAS-SAM", "paper", "cog", "3", "paper")
QUANTILE = RowKey("map above a held-out level", "paper", "", "", "paper")
BEST = RowKey("map above the best level", "paper", "", "", "paper", is_oracle=True)


def _case(number: int, region=None):
    rng = np.random.default_rng(number)
    voxels = np.zeros(SHAPE, np.float32)
    voxels[1:-1, 4:36, 6:42] = 100 + rng.normal(0, 5, (SHAPE[0] - 2, 32, 36))
    truth = np.zeros(SHAPE, bool)
    if number != 3:
        truth[4:8, 10 : 16 + number, 20:30] = True
        truth[6, 30, 10] = True
    heat = ndimage.gaussian_filter(rng.normal(size=SHAPE), 1) + 0.5 * truth
    volume = Volume(voxels, np.diag([1.0, 1.0, 3.0, 1.0]), name=f"case{number}")
    case = EvaluationCase(f"case{number}", f"group{number // 2}", "test", lambda: LabeledVolume(volume, truth, region))
    return CaseView.of(case, case.load(), Preprocessing(), DEFAULT), heat.astype(np.float32)


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    views, heats, masks = [], [], []
    for number in range(6):
        view, heat_kji = _case(number)
        heat = view.stack(heat_kji)
        mask = heat > 0.45
        record = view.record(
            {"paper": view.map_record(heat, [float(one.max()) for one in heat])}, {KEY.text: view.mask_record(mask)}
        )
        save_record(folder / f"{number}.npz", record, "digest")
        views.append(view), heats.append(heat), masks.append(mask)

    def records():
        return (load_record(folder / f"{number}.npz", "digest") for number in range(6))

    return views, heats, masks, records


def _row(records, keys=(KEY,)):
    pool = pool_records(records)
    add_level_rows(pool, records, {"paper": (QUANTILE.text, BEST.text)})
    return make_rows(pool, list(keys), "embedded")


def _all(stacks):
    return np.concatenate([stack.ravel() for stack in stacks])


def test_map_figures_equal_those_of_the_pixels(scored):
    views, heats, _, records = scored
    (row,) = _row(records)
    truth, heat, organ = _all([v.truth for v in views]), _all(heats), _all([v.organ for v in views])
    assert row["p_auroc"] == pytest.approx(roc_auc_score(truth, heat), abs=1e-3)
    assert row["p_auroc_foreground"] == pytest.approx(roc_auc_score(truth[organ], heat[organ]), abs=1e-3)
    assert row["p_ap"] == pytest.approx(average_precision_score(truth, heat), abs=1e-3)
    labels = np.concatenate([v.truth.any((1, 2)) for v in views])
    scores = np.concatenate([heat.max((1, 2)) for heat in heats])
    assert row["image_auroc"] == pytest.approx(roc_auc_score(labels, scores))
    assert max(row["binning_error_bounds"].values()) < 3e-3


def test_mask_figures_equal_those_of_the_pixels(scored):
    views, _, masks, records = scored
    (row,) = _row(records)

    def dice(a, b):
        return 2 * (a & b).sum() / (a.sum() + b.sum())

    sick = [
        (mask[n], view.truth[n]) for view, mask in zip(views, masks) for n in np.flatnonzero(view.truth.any((1, 2)))
    ]
    assert row["dice_slice"] == pytest.approx(np.mean([dice(*pair) for pair in sick]))
    assert row["dice_pooled"] == pytest.approx(dice(_all(masks), _all([view.truth for view in views])))
    volumes = [dice(mask, view.truth) for view, mask in zip(views, masks) if view.truth.any()]
    assert row["dice_volume"] == pytest.approx(np.mean(volumes)) and len(volumes) == 5
    normal = [mask[n].mean() for view, mask in zip(views, masks) for n in np.flatnonzero(~view.truth.any((1, 2)))]
    assert row["false_area_normal"] == pytest.approx(np.mean(normal))
    assert row["n_slices"] == 6 * 12 and row["n_anomalous"] == 20 and row["n_groups"] == 3
    assert row["lesion_sensitivity"] == 1.0


def test_pixels_outside_the_region_enter_no_figure():
    region = np.zeros(SHAPE, bool)
    region[:, 8:30, 12:36] = True
    view, heat_kji = _case(1, region)
    inside, heat, rows = view.stack(region), view.stack(heat_kji), []
    assert view.truth.any() and not view.truth[~inside].any(), "the speck beside the region is no anomaly to find"
    for seen in (heat, np.where(inside, heat, 99)):
        maps = {"paper": view.map_record(seen, [float(one.max()) for one in seen])}
        record = view.record(maps, {KEY.text: view.mask_record(seen > 0.45)})
        rows += _row(lambda record=record: [record], (KEY, QUANTILE, BEST))
    assert rows[:3] == rows[3:]
    truth, marked, sick = view.truth, (heat > 0.45) & inside, view.truth.any((1, 2))
    assert rows[0]["p_auroc"] == pytest.approx(roc_auc_score(truth[inside], heat[inside]), abs=1e-3)
    peaks = np.where(inside, heat, -np.inf).max((1, 2))
    assert rows[0]["image_auroc"] == pytest.approx(roc_auc_score(sick, peaks))
    pooled = 2 * (marked & truth).sum() / (marked.sum() + truth.sum())
    assert rows[0]["dice_pooled"] == pytest.approx(pooled)
    assert rows[0]["false_area_normal"] == pytest.approx(marked[~sick].sum() / inside[~sick].sum())


def test_slices_without_organ_do_not_count(scored):
    views = scored[0]
    assert all(len(view.slices) == SHAPE[0] - 2 for view in views)


def test_intervals_hold_the_value_and_are_by_group(scored):
    (row,) = _row(scored[3])
    for name in ("p_auroc", "p_ap", "aupro", "image_auroc", "dice_slice", "dice_pooled", "false_area_normal"):
        low, high = row["intervals_95"][name]
        assert low - 2e-3 <= row[name] <= high + 2e-3, name
    assert low < high


def test_best_level_beats_every_fixed_level_and_the_held_out_level_keeps_its_rate(scored):
    views, heats, _, records = scored
    rows = {row["method"]: row for row in _row(records, (QUANTILE, BEST))}
    truth, heat = _all([v.truth for v in views]), _all(heats)
    levels = [2 * ((heat > t) & truth).sum() / ((heat > t).sum() + truth.sum()) for t in np.linspace(-1, 1.5, 120)]
    assert rows[BEST.method]["dice_pooled"] == pytest.approx(max(levels), abs=5e-3)
    assert rows[BEST.method]["is_oracle"] and not rows[QUANTILE.method]["is_oracle"]
    inside = np.mean([view.organ.mean() for view in views])
    assert rows[QUANTILE.method]["false_area_normal"] < 0.02 * inside


def test_a_held_out_level_does_not_see_its_own_group(scored):
    views, heats, _, records = scored

    def shifted():
        for number, record in enumerate(records()):
            if record.group == "group0":
                maps = {"paper": views[number].map_record(heats[number] + 50, [0.0] * len(heats[number]))}
                record = views[number].record(maps, record.masks)
            yield record

    (row,) = _row(shifted, (QUANTILE,))
    low, high = row["intervals_95"]["false_area_normal"]
    assert row["false_area_normal"] > 0.3, "slices of group0 lie above every other group's level and must be marked"


def test_bug_a_run_ended_in_an_error_when_only_calibration_cases_could_be_scored(scored):
    rows = _row(lambda: [dataclasses.replace(record, role="calibration") for record in scored[3]()], (KEY, QUANTILE))
    assert rows == [] and "No case could be scored" in render_tables({"brain": rows}, [""], {})


def test_a_damaged_or_foreign_record_is_scored_again(scored, tmp_path):
    record = next(iter(scored[3]()))
    path = tmp_path / "one.npz"
    save_record(path, record, "digest")
    assert load_record(path, "digest") is not None
    assert load_record(path, "other digest") is None
    data = path.read_bytes()
    for cut in (0, 10, len(data) // 2, len(data) - 30):
        path.write_bytes(data[:cut])
        assert load_record(path, "digest") is None
    assert load_record(tmp_path / "absent.npz", "digest") is None


def test_tables_name_published_figures_as_such_and_oracles_too(scored):
    rows = _row(scored[3], (KEY, BEST))
    text = render_tables({"brain": rows}, [""], {"brain": "rule"})
    assert "MIAS-SAM (*published*) | 96.35 / 37.04 | 97.56 / 42.85 | 99.76 / 51.21" in text
    measured = next(line for line in text.splitlines() if line.startswith("| MIAS-SAM, paper |"))
    assert "published" not in measured and f"{100 * rows[0]['dice_slice']:.2f}" in measured


def test_masks_come_back_from_their_bits():
    rng = np.random.default_rng(0)
    masks = rng.uniform(size=(5, 7, 13)) < 0.4
    stack = MaskStack(masks.shape)
    for n in (0, 2, 4):
        stack.put("cog", "3", n, masks[n])
    masks[[1, 3]] = False
    np.testing.assert_array_equal(stack.get("cog", "3"), masks)
    assert not stack.get("box", "1").any()


def test_brightness_z_ignores_the_background_and_a_few_outliers():
    rng = np.random.default_rng(0)
    voxels = np.full((3, 50, 50), -1000.0, np.float32)
    organ = np.zeros(voxels.shape, bool)
    organ[:, 5:45, 5:45] = True
    voxels[organ] = rng.normal(200, 10, organ.sum())
    voxels[1, 10:20, 10:20] = 260
    z = baselines.robust_z(voxels, organ)
    assert np.median(z[1, 10:20, 10:20]) == pytest.approx(6, abs=0.5)
    assert z[~organ].max() == z[organ].min()
    smooth = baselines.smoothed_z(z, organ)
    assert smooth[1, 15, 15] > 4 and abs(np.median(smooth[organ])) < 0.2


def test_the_largest_component_alone_is_kept():
    mask = np.zeros((3, 9, 9), bool)
    mask[0, :2, :2], mask[1:, 4:8, 4:8] = True, True
    kept = baselines.largest_component(mask)
    assert kept.sum() == 32 and not kept[0].any()
    assert not baselines.largest_component(np.zeros((2, 3, 3), bool)).any()


def test_a_point_lies_inside_every_part_of_a_truth_and_as_deep_as_can_be():
    truth = np.zeros((20, 30), bool)
    truth[2:7, 3:8] = truth[12:19, 20:27] = True
    np.testing.assert_array_equal(baselines.interior_points(truth), [[5, 4], [23, 15]])
    ring = np.hypot(*np.mgrid[-9:10, -9:10])
    truth = (ring > 5) & (ring < 9)
    ((x, y),) = baselines.interior_points(truth)
    assert truth[int(y), int(x)], "a center of gravity would lie in the hole"


def test_the_ceiling_finds_every_lesion_by_a_click_in_each_and_is_marked_as_oracle():
    view, _ = _case(2)
    record = baselines.observe_baselines(FakeModel(), view, PRESETS["published-code"])
    ceiling, best = record.masks[CEILING.text], record.masks[BEST_MASKS.text]
    for row in (ceiling, best):
        np.testing.assert_array_equal(row.marked > 0, view.truth.any((1, 2)))
        assert row.n_found == view.lesions.n_lesions == 1
    sizes = np.count_nonzero(view.truth, (1, 2))
    dices = [2 * row.true[sizes > 0] / (row.marked + sizes)[sizes > 0] for row in (ceiling, best)]
    assert (dices[1] >= dices[0]).all() and (dices[1] > dices[0]).any(), "the truth chooses better than the program"
    (row,) = make_rows(pool_records(lambda: [record]), [CEILING], "fake")
    assert row["is_oracle"] and row["lesion_sensitivity"] == 1.0 and row["false_area_normal"] == 0.0
    assert CEILING.text not in baselines.observe_baselines(None, view, PRESETS["published-code"]).masks


def test_otsu_separates_two_levels_and_marks_nothing_on_a_constant_map():
    values = np.where(np.arange(600).reshape(6, 10, 10) % 100 < 20, 5.0, 1.0).astype(np.float32)
    organ = np.ones(values.shape, bool)
    np.testing.assert_array_equal(baselines.otsu_mask(values, organ), values == 5)
    assert not baselines.otsu_mask(np.ones_like(values), organ).any()
