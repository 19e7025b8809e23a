"""Coresets: which patches stay, by a reference, by the seed, and how far the others are from them."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from MIASSAMLib.bank.coreset import (
    METHODS,
    Choice,
    greedy_coreset,
    n_kept,
    random_coreset,
    select_rows,
    stratified_coreset,
    two_level_coreset,
)
from MIASSAMLib.errors import UsageError
from scipy.spatial.distance import cdist


def make_points(n: int, dimension: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((20, dimension)) * 4
    return (centers[generator.integers(20, size=n)] + generator.standard_normal((n, dimension))).astype(np.float32)


def reference_k_center(points: np.ndarray, first: int, wanted: int) -> list[int]:
    """The textbook algorithm on the full distance matrix, in float64."""
    distances = cdist(points.astype(np.float64), points.astype(np.float64))
    picked = [first]
    while len(picked) < wanted:
        picked.append(int(distances[picked].min(axis=0).argmax()))
    return picked


def greedy_without_projection(points: np.ndarray, first: int, wanted: int) -> np.ndarray:
    nearest, picked = np.full(len(points), np.inf), [first]
    while len(picked) < wanted:
        nearest = np.minimum(nearest, ((points - points[picked[-1]]) ** 2).sum(1))
        picked.append(int(nearest.argmax()))
    return np.array(picked)


def covering_radius(points: np.ndarray, kept: np.ndarray) -> float:
    nearest = np.min([((points - points[number]) ** 2).sum(1) for number in kept], axis=0)
    return float(np.sqrt(nearest.max()))


def test_greedy_picks_what_the_reference_picks_on_2000_points():
    points = make_points(2000, 16)
    picked = greedy_coreset(points, 0.05, seed=4)
    assert len(picked) == 100
    assert picked.tolist() == reference_k_center(points, int(picked[0]), 100)


def test_the_first_center_is_in_the_set_and_comes_from_the_seed():
    points = make_points(500, 8)
    firsts = {int(greedy_coreset(points, 0.1, seed)[0]) for seed in range(8)}
    assert len(firsts) > 4
    for seed in range(3):
        expected = np.random.default_rng(seed).integers(500)
        assert expected in greedy_coreset(points, 0.1, seed)
        assert expected in greedy_coreset(points, 0.001, seed)


def test_no_patch_is_picked_twice_even_among_duplicates():
    points = np.repeat(make_points(10, 8), 10, axis=0)
    assert len(set(greedy_coreset(points, 0.9, seed=0).tolist())) == 90


def test_the_projection_hardly_widens_the_gaps():
    points = make_points(3000, 512)
    picked = greedy_coreset(points, 0.02, seed=1)
    radius = covering_radius(points, picked)
    assert radius < covering_radius(points, random_coreset(3000, 0.02, seed=1))
    assert radius < 1.1 * covering_radius(points, greedy_without_projection(points, int(picked[0]), 60))


def test_two_levels_cover_less_well_than_one_but_far_better_than_chance():
    points = make_points(4000, 3)
    one = covering_radius(points, greedy_coreset(points, 0.05, seed=0))
    two = two_level_coreset(np.array_split(points, 7), 4000, 0.05, seed=0)
    assert len(two) == 200
    assert (np.diff(two) > 0).all()
    assert covering_radius(points, two) < 1.6 * one
    assert covering_radius(points, two) < 0.85 * covering_radius(points, random_coreset(4000, 0.05, seed=0))


def test_memory_grows_with_the_rows_not_with_their_square():
    points = make_points(20_000, 16)
    tracemalloc.start()
    greedy_coreset(points, 0.002, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * points.nbytes < 20_000**2


def test_progress_is_told_and_can_stop_the_work():
    class StopHere(Exception):
        pass

    def stop(stage, done, total):
        assert (stage, total) == ("choosing patches", 1000)
        raise StopHere

    with pytest.raises(StopHere):
        greedy_coreset(make_points(2000, 8), 0.5, seed=0, progress=stop)


def test_the_same_seed_gives_the_same_coreset():
    points = make_points(1000, 200)
    places = np.random.default_rng(0).uniform(-0.5, 0.5, (1000, 3))
    for method in METHODS:
        shards = [points[:400], points[400:]]
        first, second = (select_rows(Choice(0.1, method), shards, places, seed=5) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert len(first) == 100
    np.testing.assert_array_equal(select_rows(Choice(), [], np.zeros((7, 3)), seed=0), np.arange(7))


def test_stratified_keeps_the_same_part_of_every_position():
    positions = np.concatenate([np.tile(np.arange(64), 10), np.full(360, 5)])
    kept = stratified_coreset(positions, 0.3, seed=0)
    counts = np.bincount(positions[kept], minlength=64)
    assert len(kept) == 300
    assert set(counts[np.arange(64) != 5]) <= {3, 4}
    assert 105 <= counts[5] <= 115
    assert (np.diff(kept) > 0).all()


@pytest.mark.parametrize("ratio", [0, -0.1, 1.5])
def test_a_ratio_outside_its_range_is_refused(ratio):
    with pytest.raises(UsageError, match="above 0 and up to 1"):
        n_kept(100, ratio)


def test_an_unknown_method_is_refused():
    with pytest.raises(UsageError, match="greedy, random, stratified"):
        select_rows(Choice(0.5, "magic"), [], np.zeros((10, 3)), seed=0)
