"""The bank benchmark measures what it says, on rows that are drawn the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from library.bank_helpers import brute_force, make_rows
from miassam_bench.bank import BankCase, run_bank_case
from miassam_bench.bank_loss import Found, nearest_in_stream
from miassam_bench.bank_overhead import build_overhead
from miassam_bench.synthetic_rows import RowModel


def test_synthetic_rows_are_low_rank_seeded_and_differ_by_volume():
    model = RowModel()
    rows = model.volume(3, n_slices=2)
    np.testing.assert_array_equal(rows, RowModel().volume(3, n_slices=2))
    assert not np.array_equal(rows, model.volume(4, n_slices=2))
    many = model.volume(0, n_slices=4)[::3].astype(np.float64)
    spectrum = np.linalg.eigvalsh(np.cov(many.T))[::-1]
    parts = np.cumsum(spectrum) / spectrum.sum()
    assert parts[7] > 0.7
    assert 0.95 < parts[63] < 0.999


def test_volumes_stop_at_the_wanted_number_of_rows():
    sizes = [len(rows) for _, rows in RowModel().volumes(40_000)]
    assert sizes == [32_768, 7_232]


def test_volumes_can_be_skipped_without_changing_the_others():
    whole = list(RowModel().volumes(33_000))
    ((number, rows),) = RowModel().volumes(33_000, skip=1)
    assert number == 1
    np.testing.assert_array_equal(rows, whole[1][1])


def test_the_exact_search_of_a_stream_goes_on_where_it_was_stopped(tmp_path):
    class Source:
        def __init__(self, n_volumes):
            self.n_volumes, self.drawn = n_volumes, []

        def volumes(self, n_rows, skip=0):
            for number in range(skip, self.n_volumes):
                self.drawn.append(number)
                yield number, rows[number * 100 : (number + 1) * 100]

    rows, queries = make_rows(2000, 32), make_rows(10, 32, seed=9)
    found = [Found(queries[:4], None, np.arange(4) * 500), Found(queries[4:], None, np.arange(6))]
    part = tmp_path / "part.npz"
    nearest_in_stream(Source(17), 1700, found, part)
    rest = Source(20)
    truth, stored = nearest_in_stream(rest, 2000, found, part)
    assert rest.drawn == [16, 17, 18, 19]
    np.testing.assert_allclose(np.concatenate(truth), brute_force(queries, rows), rtol=1e-5)
    np.testing.assert_array_equal(stored[0], rows[[0, 500, 1000, 1500]])
    np.testing.assert_array_equal(stored[1], rows[:6])


def test_what_a_build_adds_is_measured_beside_the_encoder(tmp_path, monkeypatch):
    monkeypatch.setattr("miassam_bench.bank_overhead.use_one_thread", lambda: None)
    row = build_overhead("embedded", 1, "paper", tmp_path)
    assert row["n_slices"] == 8
    assert row["encoder_cpu_s_per_slice"] > 0 and row["last_steps_cpu_s_per_slice"] > 0
    beside = row["beside_encoder_cpu_s_per_slice"] / row["encoder_cpu_s_per_slice"]
    assert row["streaming_overhead"] == pytest.approx(beside, abs=0.05)


@pytest.mark.slow
def test_a_case_reports_speed_size_and_loss(tmp_path):
    row = run_bank_case(BankCase(tmp_path, 40_000, n_query_slices=1, runs=1))
    assert row["speedup"] == pytest.approx(row["flat_ms"] / row["search_ms"], rel=0.01)
    assert row["speedup_cpu"] == pytest.approx(row["flat_cpu_ms"] / row["search_cpu_ms"], rel=0.01)
    assert row["build_peak_mb"] < 1500
    assert 0.9 < row["recall_at_1"] <= 1
    assert row["map_correlation"] > 0.99
    assert row["bytes"] == sum(p.stat().st_size for p in (tmp_path / "40000.bank").glob("patches.*"))
