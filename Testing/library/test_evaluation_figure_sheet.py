"""The figure sheet shows best, median and worst, each slice once, failures among them."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.evaluation.figure_sheet import choose_shown, write_sheet
from MIASSAMLib.evaluation.record import CaseRecord
from PIL import Image


def _record(name, scores):
    rng = np.random.default_rng(0)
    panels = {str(n): rng.integers(0, 255, (6, 40, 60)).astype(np.uint8) for n in range(len(scores))}
    facts = {"panels": {str(n): {"dice": score, "cog": [20.0, 10.0]} for n, score in enumerate(scores)}}
    none = np.empty(0)
    return CaseRecord(name, name, "test", True, none, 1, none, none, none, {}, {}, panels, facts)


def test_best_median_and_worst_are_shown_and_one_case_does_not_fill_a_kind():
    records = [_record("a", [0.9, 0.89, 0.88, 0.0]), _record("b", [0.5, 0.8]), _record("c", [0.1, 0.45, 0.7])]
    shown = choose_shown(lambda: records)
    by_kind = {kind: [one for one in shown if one.kind == kind] for kind in ("best", "median", "worst")}
    assert [len(group) for group in by_kind.values()] == [3, 3, 3]
    assert [one.case for one in by_kind["best"]] == ["a", "b", "c"]
    assert by_kind["best"][0].dice == 0.9 and by_kind["worst"][0].dice == 0.0
    assert len({(one.case, one.slice_index) for one in shown}) == 9


def test_a_single_slice_is_shown_once_and_none_gives_no_sheet(tmp_path):
    assert [one.kind for one in choose_shown(lambda: [_record("a", [0.4])])] == ["best"]
    assert choose_shown(lambda: [_record("a", [])]) == []
    assert write_sheet(tmp_path / "sheet.png", []) == {} and not list(tmp_path.iterdir())


def test_two_slices_are_the_best_and_another_kind():
    assert [one.dice for one in choose_shown(lambda: [_record("a", [0.2, 0.6])])] == [0.6, 0.2]


def test_the_sheet_is_a_picture_with_a_row_for_each_slice(tmp_path):
    records = [_record("a", [0.9, 0.5, 0.1])]
    said = write_sheet(tmp_path / "sheet.png", choose_shown(lambda: records))
    assert [row["dice"] for row in said["rows"]] == [0.9, 0.5, 0.1]
    with Image.open(tmp_path / said["file"]) as image:
        assert image.size[0] > 6 * 160 and image.size[1] > 3 * 160
        assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 1000
