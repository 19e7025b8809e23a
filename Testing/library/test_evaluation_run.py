"""`miassam evaluate` end to end with the embedded model, on trees this test writes."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from library.evaluation_trees import FakeModel, write_bmad, write_cases
from MIASSAMLib.bank import ManifestDraft, MemoryBank
from MIASSAMLib.cli.main import main
from MIASSAMLib.config import PRESETS
from MIASSAMLib.errors import Cancelled, UsageError
from MIASSAMLib.evaluation import compare
from MIASSAMLib.evaluation.case_view import CaseView
from MIASSAMLib.evaluation.cases import make_folds, read_cases
from MIASSAMLib.evaluation.compare import Comparison
from MIASSAMLib.evaluation.observe import Asked, MeasuredReading, observe
from MIASSAMLib.evaluation.options import EvaluateOptions
from MIASSAMLib.evaluation.results import run_evaluation
from MIASSAMLib.evaluation.workplace import Workplace
from MIASSAMLib.method import (
    BuildOptions,
    BuildSource,
    LocalEncoder,
    Preprocessing,
    Segmenter,
    SegmentOptions,
    build_bank,
    encode_slices,
)

FIELDS = {
    "method", "preset", "prompt", "mask", "model", "p_auroc", "p_auroc_foreground", "p_ap", "aupro", "image_auroc",
    "dice_slice", "dice_pooled", "dice_volume", "false_area_normal", "lesion_sensitivity", "n_slices", "n_anomalous",
    "n_groups",
}  # fmt: skip


def _find(rows, **wanted):
    (row,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return row


def test_bmad_by_one_command_gives_every_row_and_file(tmp_path, capsys):
    write_bmad(tmp_path, "brain", "published", n_train=6, n_test=2)
    words = ["evaluate", "--bmad", str(tmp_path), "--output", str(tmp_path / "out"), "--preset", "paper"]
    assert main([*words, "--prompt", "cog", "--mask", "3", "auto"]) == 0
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]
    assert all(row.keys() >= FIELDS for row in rows)
    paper = _find(rows, method="MIAS-SAM", mask="3")
    assert paper["p_auroc"] == pytest.approx(0.99, abs=0.02)
    assert paper["dice_slice"] == pytest.approx(0.9, abs=0.12)
    assert paper["dice_volume"] is None and paper["n_slices"] == 4 and paper["n_anomalous"] == 2
    assert paper["false_area_normal"] > 0, "the paper marks every slice, also normal ones"
    bright = _find(rows, method="brightness z > 2")
    assert bright["dice_slice"] == pytest.approx(1.0, abs=0.02) and bright["false_area_normal"] < 0.01
    best = next(row for row in rows if row["is_oracle"] and row["preset"] == "paper")
    held_out = next(row for row in rows if "held-out" in row["method"] and row["preset"] == "paper")
    assert best["dice_pooled"] >= held_out["dice_pooled"]
    for name in ("tables.md", "report.html", "figure_sheet.png", "slices.csv"):
        assert (tmp_path / "out" / name).stat().st_size > 500
    assert "tables.md" in capsys.readouterr().out


def test_leaving_groups_out_scores_volumes_and_names_a_case_it_cannot_read(tmp_path):
    cases = write_cases(tmp_path, with_faults=True)
    out = tmp_path / "out"
    words = ["evaluate", "--cases", str(cases), "--output", str(out), "--leave-one-group-out"]
    assert main([*words, "--preset", "refined", "--prompt", "cog", "--mask", "3"]) == 1
    content = json.loads((out / "metrics.json").read_text())
    assert [failed["case"] for failed in content["failed"]] == ["broken"]
    row = _find(content["rows"], method="MIAS-SAM")
    assert (row["n_slices"], row["n_anomalous"], row["n_groups"]) == (21, 6, 3)
    assert row["dice_volume"] is not None and row["lesion_sensitivity"] is not None
    assert row["intervals_95"]["p_auroc"][0] <= row["p_auroc"]


@pytest.fixture
def fake(monkeypatch):
    """Let every run load one model that costs nothing and counts."""
    model = FakeModel()
    monkeypatch.setattr("MIASSAMLib.api.open_model", lambda *words: model)
    return model


def _options(out, cases, **more):
    wanted = {"presets": ("paper",), "prompts": ("cog",), "masks": ("3",)} | more
    return EvaluateOptions(out, cases=cases, leave_one_group_out=True, **wanted)


def test_an_interrupted_run_resumes_with_the_same_result(tmp_path, fake):
    cases = write_cases(tmp_path)
    whole = json.loads(run_evaluation(_options(tmp_path / "whole", cases)).read_text())

    def stop(stage, done, total):
        if stage.startswith("paper: case1") and done == 5:
            raise Cancelled("stopped by the test")

    with pytest.raises(Cancelled):
        run_evaluation(_options(tmp_path / "stopped", cases), stop)
    resumed = json.loads(run_evaluation(_options(tmp_path / "stopped", cases)).read_text())
    assert resumed["rows"] == whole["rows"]
    fake.n_encoded = 0
    run_evaluation(_options(tmp_path / "stopped", cases))
    assert fake.n_encoded == 0, "a finished run encodes nothing again"


def test_each_slice_is_encoded_once_for_all_rows_folds_and_presets(tmp_path, fake):
    presets = ("paper", "published-code")
    run_evaluation(_options(tmp_path / "out", write_cases(tmp_path), presets=presets, masks=("1", "3")))
    assert fake.n_encoded == 3 * 7
    fake.n_encoded = 0
    refined = (*presets, "refined:zoom=off", "refined:zoom=off,contrast=flair")
    run_evaluation(_options(tmp_path / "more", tmp_path / "cases.csv", presets=refined, masks=("1", "3")))
    assert fake.n_encoded == 3 * 7


@pytest.fixture
def built(monkeypatch):
    """Note which sources go into each bank, and how many slices of them."""
    seen = []

    def spy(path, sources, *rest):
        bank = build_bank(path, sources, *rest)
        seen.append({source.name: source.n_slices for source in bank.manifest.sources})
        return bank

    monkeypatch.setattr(compare, "build_bank", spy)
    return seen


def test_a_bank_step_thins_the_normal_slices_and_slices_near_a_lesion_are_left_out(tmp_path, fake, built):
    run_evaluation(_options(tmp_path / "all", write_cases(tmp_path)))
    assert sorted(built, key=str) == [{"case0": 3}, {"case1": 3}, {"case2": 3}]
    built.clear()
    run_evaluation(_options(tmp_path / "third", tmp_path / "cases.csv", bank_step=3))
    assert sorted(built, key=str) == [{"case0": 1}, {"case1": 1}, {"case2": 1}]


@pytest.mark.parametrize("n_groups", [3, 6])
def test_rows_are_stored_once_however_many_groups_are_left_out(tmp_path, fake, built, n_groups):
    run_evaluation(_options(tmp_path / "out", write_cases(tmp_path, n_groups=n_groups)))
    assert sum(sum(bank.values()) for bank in built) == 3 * n_groups
    assert not list((tmp_path / "out").rglob("*.bank")), "what was only needed to compare is deleted"


@pytest.mark.parametrize("name", ["paper", "refined"])
@pytest.mark.parametrize("n_groups", [2, 4])
def test_a_fold_answers_as_a_bank_built_from_its_own_cases(tmp_path, name, n_groups):
    data = read_cases(write_cases(tmp_path, n_groups, n_slices=12), leave_one_group_out=True)
    options = EvaluateOptions(tmp_path / "out", cases=tmp_path / "cases.csv", leave_one_group_out=True)
    place, config, folds = Workplace(options, FakeModel()), PRESETS[name], make_folds(data, True)
    comparison = Comparison(place, data, folds, config)
    comparison.run([case for fold in folds for case in fold.scored])
    for fold in folds:
        sources = [BuildSource(c.name, lambda c=c: (c.load().volume, c.load().truth_kji)) for c in fold.sources]
        encoder = LocalEncoder(place.model, config, Preprocessing())
        own = build_bank(tmp_path / f"{fold.name}.bank", sources, place.model, config, BuildOptions(), encoder=encoder)
        found = comparison.calibration(fold, config)
        assert found.keys() == own.calibration.keys()
        for key, array in own.calibration.items():
            np.testing.assert_allclose(found[key], array, rtol=2e-3, atol=1e-4, err_msg=f"{fold.name} {key}")
        view = CaseView.of(fold.scored[0], fold.scored[0].load(), Preprocessing(), config)
        squared = comparison.distances(fold.scored[0], fold)
        measured = MeasuredReading(place.model, config, found, view, squared)
        segmenter = Segmenter(place.model, own, config)
        heat, whole = (segmenter.segment(one).heat_kji for one in (measured, view.prepared.volume))
        # Maps rest in half precision, and squared distances of .004 come 7e-6 apart in larger searches.
        np.testing.assert_allclose(heat, whole, rtol=2**-9, atol=0.02)


def test_the_tested_group_is_not_among_its_own_rows(tmp_path, fake):
    data = read_cases(write_cases(tmp_path), leave_one_group_out=True)
    options = _options(tmp_path / "out", tmp_path / "cases.csv")
    place, folds = Workplace(options, fake), make_folds(data, True)
    comparison = Comparison(place, data, folds, PRESETS["paper"])
    comparison.run(data.cases)
    beside = {path.parent.name[:5]: [] for path in comparison.folder.rglob("beside*.npy")}
    for path in comparison.folder.rglob("beside*.npy"):
        beside[path.parent.name[:5]].append(path.stem[-5:])
    assert {case: sorted(others) for case, others in beside.items()} == {
        "case0": ["case1", "case2"], "case1": ["case0", "case2"], "case2": ["case0", "case1"],
    }  # fmt: skip


def test_a_changed_mask_is_scored_again(tmp_path, fake):
    cases = write_cases(tmp_path)

    def dice():
        path = run_evaluation(_options(tmp_path / "out", cases))
        return _find(json.loads(path.read_text())["rows"], method="brightness z > 2")["dice_slice"]

    before = dice()
    (tmp_path / "mask0.nii.gz").write_bytes((tmp_path / "mask1.nii.gz").read_bytes())
    os.utime(tmp_path / "mask0.nii.gz", ns=(1, 1))
    assert dice() < before - 0.1


@pytest.mark.parametrize("name", ["paper", "published-code"])
def test_rows_equal_what_segment_gives_for_the_same_options(tmp_path, name):
    model = FakeModel()
    data = read_cases(write_cases(tmp_path, n_groups=1), leave_one_group_out=True)
    config = PRESETS[name]
    view = CaseView.of(data.cases[0], data.cases[0].load(), Preprocessing(), config)
    normal = [int(index) for index, sick in zip(view.slices, view.truth.any((1, 2))) if not sick]
    rows = np.concatenate(
        [one.features["embedding"] for one in encode_slices(model, view.prepared, normal[:3], config)]
    )
    draft = ManifestDraft(name, config.to_dict(), config.digest(), model.name, model.digest)
    segmenter = Segmenter(model, MemoryBank.from_rows({"embedding": rows}, draft), config)
    seen = observe(segmenter.open(view.prepared.volume), view, Asked(("cog", "box"), ("1", "auto")))
    for prompt in ("cog", "box"):
        for mask in ("1", "auto"):
            result = segmenter.segment(view.prepared.volume, SegmentOptions(prompt=prompt, mask=mask))
            np.testing.assert_array_equal(seen.masks.get(prompt, mask), view.stack(result.labels_kji) > 0)
    np.testing.assert_allclose(seen.heat, view.stack(result.heat_kji), rtol=1e-5)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 2),
        (["--bmad", "x", "--cases", "y"], 2),
        (["--bmad", "absent"], 2),
        (["--cases", "absent.csv"], 2),
    ],
)
def test_a_faulty_command_is_refused_as_usage(tmp_path, words, code):
    try:
        found = main(["evaluate", "--output", str(tmp_path / "out"), *words])
    except SystemExit as stop:
        found = stop.code
    assert found == code


def test_options_that_contradict_each_other_are_refused(tmp_path):
    with pytest.raises(UsageError, match="one of them"):
        EvaluateOptions(tmp_path)
    with pytest.raises(UsageError, match="its own split"):
        EvaluateOptions(tmp_path, bmad=tmp_path, leave_one_group_out=True)
    with pytest.raises(UsageError, match="bank step"):
        EvaluateOptions(tmp_path, bmad=tmp_path, bank_step=0)


@pytest.mark.slow
def test_the_whole_table_on_two_data_sets_in_both_layouts(tmp_path):
    write_bmad(tmp_path, "brain", "bmad", n_train=8, n_test=2)
    write_bmad(tmp_path, "retina", "published", n_train=8, n_test=2)
    words = ["evaluate", "--bmad", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    rows = json.loads((tmp_path / "out" / "metrics.json").read_text())["rows"]
    for name in ("brain", "retina"):
        ours = [row for row in rows if row["data_set"] == name]
        assert len([row for row in ours if row["method"] == "MIAS-SAM"]) == 3 * 3 * 4
        assert _find(ours, method="brightness z > 2")["dice_slice"] == pytest.approx(1.0, abs=0.02)
        third = _find(ours, method="MIAS-SAM", preset="paper", prompt="cog", mask="3")
        assert third["p_auroc"] == pytest.approx(0.99, abs=0.02)
        assert third["dice_slice"] == pytest.approx(0.93, abs=0.1)
        assert (
            third["dice_slice"] > _find(ours, method="MIAS-SAM", preset="paper", prompt="cog", mask="2")["dice_slice"]
        )


def test_no_preset_measures_brightness_alone(tmp_path, fake):
    path = run_evaluation(_options(tmp_path / "out", write_cases(tmp_path), presets=()))
    rows = json.loads(path.read_text())["rows"]
    assert fake.n_encoded == 0
    assert {row["method"].split(" ")[0] for row in rows} == {"brightness", "smoothed"}
    assert not any(row["mask"] for row in rows)
    assert _find(rows, method="brightness z > 2")["dice_slice"] == pytest.approx(1.0, abs=0.05)
