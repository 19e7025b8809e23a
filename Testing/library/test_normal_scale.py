"""How far normal patches lie: pooled or by place, decided on normal volumes alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from MIASSAMLib.config import preset
from MIASSAMLib.method.normal_law import (
    IN_PLANE,
    IN_VOLUME,
    POOLED,
    NormalDistances,
    NormalScale,
    choose_grid,
    fit_scale,
)

REFINED, ON, OFF = preset("refined"), preset("refined:per_position=on"), preset("refined:per_position=off")


def normal_slices(n_volumes: int, by_place: bool, by_depth: bool = False) -> list[NormalDistances]:
    """Distances that are the same everywhere, or three times as large on the left, or at the top."""
    rng = np.random.default_rng(0)
    found = []
    for volume in range(n_volumes):
        for depth in np.linspace(0, 1, 10):
            places = rng.uniform(-0.5, 0.5, (300, 2)).astype(np.float32)
            mean = 1 + 2.0 * by_place * (places[:, 0] < 0) + 2.0 * by_depth * (depth > 0.5)
            found.append(NormalDistances(rng.normal(mean, 0.1), places, float(depth), f"volume {volume}"))
    return found


def test_the_pooled_scale_is_mean_and_spread():
    normal = normal_slices(2, by_place=False)
    scale = fit_scale(normal, POOLED, REFINED)
    values = np.concatenate([one.values for one in normal])
    assert scale.mean.shape == (1, 1, 1)
    np.testing.assert_allclose(scale.mean, values.mean())
    np.testing.assert_allclose(scale.spread, values.std())


@pytest.mark.parametrize(
    ("by_place", "by_depth", "grids"),
    [(False, False, {POOLED}), (True, False, {IN_PLANE, IN_VOLUME}), (False, True, {IN_VOLUME})],
)
def test_the_grid_is_as_fine_as_unseen_volumes_confirm(by_place, by_depth, grids):
    assert choose_grid([normal_slices(4, by_place, by_depth)], REFINED) in grids


def test_off_and_on_are_obeyed_and_two_volumes_decide_nothing():
    consistent = [normal_slices(4, by_place=True)]
    assert choose_grid(consistent, OFF) == POOLED
    assert choose_grid([normal_slices(4, by_place=False)], ON) != POOLED
    assert choose_grid([normal_slices(2, by_place=True)], REFINED) == POOLED
    assert choose_grid([normal_slices(2, by_place=True)], replace(REFINED, per_position_volumes=2)) != POOLED
    assert choose_grid(consistent, replace(ON, per_position="auto", per_position_volumes=9)) == POOLED


def test_a_distance_is_judged_by_its_own_place():
    scale = fit_scale(normal_slices(4, by_place=True), IN_PLANE, REFINED)
    places = np.array([[-0.3, 0.0], [0.3, 0.0]], np.float32)
    left, right = scale.z_scores(np.array([3.0, 3.0]), places, 0.5)
    assert abs(left) < 1 < 2 < right


def test_a_place_never_seen_is_judged_by_all():
    right_only = [
        NormalDistances(one.values[one.places[:, 0] > 0.2], one.places[one.places[:, 0] > 0.2], one.depth, one.source)
        for one in normal_slices(3, by_place=False)
    ]
    scale = fit_scale(right_only, IN_PLANE, REFINED)
    far = scale.z_scores(np.array([1.0]), np.array([[-0.45, -0.45]], np.float32), 0.5)
    assert abs(float(far[0])) < 0.5


def test_scales_survive_the_file():
    scale = fit_scale(normal_slices(3, by_place=True), IN_PLANE, REFINED)
    again = NormalScale.from_array(scale.to_array())
    np.testing.assert_array_equal(again.mean, scale.mean)
    np.testing.assert_array_equal(again.spread, scale.spread)
