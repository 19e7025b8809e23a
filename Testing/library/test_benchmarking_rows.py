"""The benchmark measures what it says, in turns, and writes what design.md asks for."""

import json

import numpy as np
import pytest
import torch
from miassam_bench import BenchOptions, evaluation, run, runner, timing
from miassam_bench.encoder import encoder_rows
from miassam_bench.end_to_end import textured_volume
from miassam_bench.plain import PlainWay
from miassam_bench.report import draw_growth
from miassam_bench.rows import Row, quartile_distance, read_rows, write_rows
from miassam_bench.subjects import load_subject
from miassam_bench.timing import Effort, race, seconds
from MIASSAMLib.config import preset
from MIASSAMLib.errors import UsageError
from MIASSAMLib.method.patches import patch_embeddings

KEYS = {"benchmark", "model", "device", "value", "unit", "baseline", "ratio", "runs", "spread"}
ONE_RUN = Effort(runs=1, budget_s=0.0, least=1, warm_up=False)


class Clock:
    """A clock that only the work moves."""

    def __init__(self, monkeypatch, name: str) -> None:
        self.now_s, self.calls = 0.0, []
        monkeypatch.setattr(timing.time, name, lambda: self.now_s)

    def work(self, name: str, takes_s: float) -> None:
        self.calls.append(name)
        self.now_s += takes_s


def test_ways_are_timed_in_turns_until_the_budget_is_spent(monkeypatch) -> None:
    clock = Clock(monkeypatch, "perf_counter")
    ways = {name: lambda name=name: clock.work(name, 0.25) for name in ("a", "b")}
    times = race(ways, Effort(runs=100, budget_s=1.0, least=2, warm_up=False), "cpu")
    assert clock.calls == ["a", "b"] * 3 and times == {"a": [0.25] * 3, "b": [0.25] * 3}


@pytest.mark.parametrize(("clock", "name"), [("cpu", "process_time"), ("wall", "perf_counter")])
def test_each_clock_reads_its_own_time(monkeypatch, clock, name) -> None:
    other = {"cpu": "perf_counter", "wall": "process_time"}[clock]
    own, wrong = Clock(monkeypatch, name), Clock(monkeypatch, other)

    def way() -> None:
        own.work("way", 0.5), wrong.work("way", 7.0)

    assert seconds(way, clock=clock) == pytest.approx(0.5, abs=0.1 if clock == "cpu" else 0)


def test_ratio_says_how_many_times_faster() -> None:
    row = Row.of_times("x", "m", "cpu", [0.1, 0.2, 0.3], [1.0])
    assert (row.value, row.baseline, row.ratio, row.runs) == (200.0, 1000.0, 5.0, 3)
    assert row.spread == pytest.approx(100.0) and quartile_distance([1.0]) == 0.0


def test_rows_go_to_the_file_and_back(tmp_path) -> None:
    rows = [Row("x", "vit_b", "cpu", 1.5, "ms", 3.0, 2.0, 9, 0.1), Row("y", "", "cpu", 0.25, "")]
    path = write_rows(rows, {"chip": "c"}, tmp_path)
    assert read_rows(path) == ({"chip": "c"}, rows)
    assert all(set(row) == KEYS for row in json.loads(path.read_text())["rows"])


def test_plain_patches_are_the_patching_function() -> None:
    embeddings = torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = patch_embeddings(embeddings, preset("paper"))[0]
    np.testing.assert_allclose(PlainWay(None).patches(embeddings), expected, atol=1e-5)


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    return load_subject("embedded", "cpu", tmp_path_factory.mktemp("scratch"))


def test_encoder_rows_compare_with_segment_anything(embedded) -> None:
    rows = {row.benchmark: row for row in encoder_rows(embedded, ONE_RUN, {embedded.fast.precision: 0.5})}
    arithmetic, rate = rows["encoder, arithmetic"], rows["encoder, rate"]
    assert arithmetic.value / rate.value == pytest.approx(0.0163, rel=0.02)
    assert rows["encoder, share of the measured matmul rate"].value == pytest.approx(arithmetic.value / 0.5)
    assert rows["encoder, embedding cosine to float32 (shipped weights)"].value > 0.9999


def test_plain_way_walks_from_raster_to_mask(embedded) -> None:
    rows = np.random.default_rng(0).standard_normal((50, 1024), np.float32)
    mask = PlainWay(embedded.plain, rows).segment(embedded.raster())
    assert mask.shape == (1024, 1024) and mask.dtype == bool


def test_run_writes_json_page_and_plot(tmp_path, monkeypatch) -> None:
    row = Row.of_times("encoder, bfloat16", "embedded", "cpu", [0.01], [0.05])
    monkeypatch.setattr(runner, "_tasks", lambda *args: [("encoder", lambda: [row])])
    steps = []
    assert run((), tmp_path, BenchOptions(quick=True, device="cpu"), lambda *step: steps.append(step)) == [row]
    machine, rows = read_rows(tmp_path / "bench.json")
    assert rows == [row] and machine["matmul_tflops"]["float32"] > 0 and machine["cores"] >= 1
    assert "| encoder, bfloat16 | embedded | cpu | 10 ms | 50 ms | 5.00 |" in (tmp_path / "benchmarks.md").read_text()
    assert (tmp_path / "benchmarks.png").stat().st_size > 5000 and steps[-1] == ("done", 1, 1)


def test_evaluation_is_timed_per_patient_and_its_growth_is_the_last_over_the_first(monkeypatch) -> None:
    seen = []

    def timed(way, device, clock):
        (options,) = way.args
        (data,) = options.data_sets()
        seen.append([len(data.cases), len({case.group for case in data.cases}), options.presets])
        labeled = data.cases[0].load()
        assert labeled.truth_kji.any() and labeled.volume.voxels_kji[labeled.truth_kji].mean() > 0
        return 6.0 * len(data.cases) ** 2

    monkeypatch.setattr(evaluation, "seconds", timed)
    rows = list(evaluation.evaluate_rows((1, 2), "cpu", "cpu"))
    assert seen == [[1, 1, ("paper", "refined")], [2, 2, ("paper", "refined")]]
    assert [(row.value, row.unit) for row in rows] == [(6000.0, "ms"), (12000.0, "ms"), (2.0, "")]
    assert "2 patients over 1" in rows[-1].benchmark


def test_growth_is_drawn_for_models_with_two_sizes_of_bank(tmp_path) -> None:
    small, large = (
        Row.of_times(f"end to end per slice, bank of {size:,} patches", "embedded", "cpu", [0.1], [0.2])
        for size in (10_000, 100_000)
    )
    other = Row.of_times("end to end per slice, volume of 8 slices", "embedded", "cpu", [0.1])
    assert not draw_growth([small, other], tmp_path / "none.png") and not list(tmp_path.iterdir())
    assert draw_growth([large, other, small], tmp_path / "growth.png")
    assert (tmp_path / "growth.png").stat().st_size > 5000


def test_unknown_benchmark_is_refused_before_any_work(tmp_path) -> None:
    with pytest.raises(UsageError, match="encoder, decoder, bank, end-to-end"):
        run(("speed",), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_textured_volume_has_an_inside_and_an_outside() -> None:
    voxels = textured_volume((3, 16, 16)).voxels_kji
    assert voxels[:, 0, 0].max() == 0 and voxels[:, 8, 8].min() > 0.4
