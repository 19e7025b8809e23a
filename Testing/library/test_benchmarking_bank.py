"""The bank benchmark measures what it says, on rows that are drawn the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from MIASSAMLib.benchmarking.bank import BankCase, run_bank_case
from MIASSAMLib.benchmarking.synthetic_rows import RowModel


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


@pytest.mark.slow
def test_a_case_reports_speed_size_and_loss(tmp_path):
    row = run_bank_case(BankCase(tmp_path, 40_000, n_query_slices=1, runs=1))
    assert row["speedup"] == pytest.approx(row["flat_ms"] / row["search_ms"], rel=0.01)
    assert 0.9 < row["recall_at_1"] <= 1
    assert row["map_correlation"] > 0.99
    assert row["bytes"] == sum(p.stat().st_size for p in (tmp_path / "40000.bank").glob("patches.*"))
