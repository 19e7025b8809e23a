"""The short projection finds the exact nearest rows, and says so when it cannot prove it."""

from __future__ import annotations

import numpy as np
import pytest
from MIASSAMLib.bank.exact import ShortRows, flat_searcher_of


def low_rank(n: int, rank: int, seed: int, dimension: int = 256, noise: float = 0.01) -> np.ndarray:
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(0).standard_normal((rank, dimension)).astype(np.float32)
    rows = rng.standard_normal((n, rank)) @ axes + noise * rng.standard_normal((n, dimension))
    return rows.astype(np.float32)


def brute_force(queries: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distances = ((queries[:, None].astype(np.float64) - rows[None]) ** 2).sum(2)
    return distances.min(1), distances.argmin(1)


def test_a_short_distance_is_never_larger_than_the_true_one():
    rows, queries = low_rank(500, 100, 1), low_rank(40, 100, 2)
    short_rows = ShortRows(lambda numbers: rows[numbers], len(rows))
    short = ((short_rows.shorten(queries)[:, None] - short_rows.rows[None]) ** 2).sum(2)
    true = ((queries[:, None] - rows[None]) ** 2).sum(2)
    assert (short <= true * (1 + 1e-4)).all()


@pytest.mark.parametrize("rank", [20, 120])
def test_the_nearest_row_is_exact_whatever_the_spectrum(rank):
    rows, queries = low_rank(5000, rank, 1), low_rank(30, rank, 2)
    searcher = flat_searcher_of(rows)
    distances, winners = searcher.search(queries)
    expected, numbers = brute_force(queries, rows)
    np.testing.assert_array_equal(winners, numbers)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    assert searcher._short is not None


def test_low_rank_queries_are_proven_and_white_noise_is_not():
    rows = low_rank(5000, 20, 1)
    proven = ShortRows(lambda numbers: rows[numbers], len(rows)).search(low_rank(50, 20, 2))[2]
    assert proven.all()
    white = np.random.default_rng(4).standard_normal((5000, 256)).astype(np.float32)
    queries = np.random.default_rng(5).standard_normal((50, 256)).astype(np.float32)
    assert not ShortRows(lambda numbers: white[numbers], len(white)).search(queries)[2].all()


def test_only_the_rows_that_count_are_found():
    rows = low_rank(5000, 20, 1)
    short = ShortRows(lambda numbers: rows[numbers], len(rows))
    queries = rows[[10, 2000, 4500]]
    winners = short.search(queries, [(0, 1000), (3000, 5000)])[1]
    assert winners[0] == 10 and winners[2] == 4500
    assert not 1000 <= winners[1] < 3000


def test_short_rows_of_few_numbers_are_found_exactly_by_the_tree():
    rng = np.random.default_rng(7)
    rows, queries = (rng.standard_normal((n, 6)).astype(np.float32) for n in (6000, 40))
    searcher = flat_searcher_of(rows)
    distances, winners = searcher.search(queries)
    expected, numbers = brute_force(queries, rows)
    np.testing.assert_array_equal(winners, numbers)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    assert searcher._tree is not None
