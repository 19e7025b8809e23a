"""Streaming metrics against scikit-learn and brute force, on random and degenerate inputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from MIASSAMLib.errors import InputError
from MIASSAMLib.evaluation import counting, ranking
from MIASSAMLib.evaluation.pooling import MapPool, image_tables
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

RNG = np.random.default_rng(7)


def _scores(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(len(kind))
    values = {
        "gaussian": rng.normal(size=shape),
        "uniform": rng.uniform(size=shape),
        "squared distances": rng.gamma(4.0, 80.0, size=shape),
        "ties": rng.integers(0, 4, size=shape).astype(float),
        "constant": np.full(shape, 3.0),
        "wide range": np.exp(rng.normal(0, 12, size=shape)),
        "signed zeros": np.where(rng.uniform(size=shape) < 0.5, -0.0, 0.0),
    }
    return values[kind].astype(np.float32)


SCORE_KINDS = ["gaussian", "uniform", "squared distances", "ties", "constant", "wide range", "signed zeros"]


def _slices(kind: str, n_slices: int = 12, side: int = 40) -> tuple[np.ndarray, np.ndarray]:
    scores = _scores(kind, (n_slices, side, side))
    noise = ndimage.gaussian_filter(np.random.default_rng(3).normal(size=scores.shape), (0, 3, 3))
    truth = noise > np.quantile(noise, 0.93)
    truth[::4] = False
    if kind not in ("constant", "ties", "signed zeros"):
        scores = np.where(truth, scores * np.float32(1.5), scores)
    return scores, truth


def _pool(scores: np.ndarray, truth: np.ndarray, inside: np.ndarray | None = None) -> counting.ScoreHistogram:
    pool = counting.PooledHistogram()
    organ = np.ones_like(truth) if inside is None else inside
    for plane in range(len(scores)):
        pool.add(counting.ScoreHistogram.of_slice(scores[plane], truth[plane], organ[plane]))
    return pool.sparse()


def _brute_aupro(scores: np.ndarray, truth: np.ndarray, limit: float) -> float:
    """Per-region overlap at every distinct threshold, trapezoids up to the limit."""
    regions = []
    for plane in range(len(truth)):
        labels, n_regions = ndimage.label(truth[plane], np.ones((3, 3)))
        regions += [scores[plane][labels == n + 1] for n in range(n_regions)]
    normal = np.sort(scores[~truth])
    points = [(0.0, 0.0)]
    for level in np.unique(scores)[::-1]:
        rate = (len(normal) - np.searchsorted(normal, level)) / len(normal)
        points.append((rate, float(np.mean([(region >= level).mean() for region in regions]))))
    x, y = np.array(points).T
    grid = np.unique(np.concatenate([x[x <= limit], [limit]]))
    low = np.interp(limit, x, y)
    keep = x <= limit
    return float(np.trapezoid(np.append(y[keep], low), np.append(x[keep], limit)) / limit) if len(grid) else 0.0


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_auroc_agrees_with_scikit_learn_and_lies_within_its_bound(kind: str) -> None:
    scores, truth = _slices(kind)
    pooled = _pool(scores, truth)
    estimate = ranking.auroc(pooled.column("normal"), pooled.column("anomalous"))
    exact = roc_auc_score(truth.ravel(), scores.ravel())
    assert estimate.value == pytest.approx(exact, abs=1e-3)
    assert estimate.lower - 1e-9 <= exact <= estimate.upper + 1e-9
    assert estimate.error_bound < 2e-3 or kind in ("ties", "constant", "signed zeros")


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_average_precision_agrees_with_scikit_learn_and_lies_within_its_bound(kind: str) -> None:
    scores, truth = _slices(kind)
    pooled = _pool(scores, truth)
    estimate = ranking.average_precision(pooled.column("normal"), pooled.column("anomalous"))
    exact = average_precision_score(truth.ravel(), scores.ravel())
    assert estimate.value == pytest.approx(exact, abs=1e-3)
    assert estimate.lower - 1e-9 <= exact <= estimate.upper + 1e-9


@pytest.mark.parametrize("kind", SCORE_KINDS)
def test_aupro_agrees_with_brute_force(kind: str) -> None:
    scores, truth = _slices(kind, 6, 24)
    pooled = _pool(scores, truth)
    estimate = ranking.aupro(pooled.column("normal"), pooled.column("region_weight"), pooled.n_regions)
    exact = _brute_aupro(scores, truth, ranking.FPR_LIMIT)
    assert estimate.value == pytest.approx(exact, abs=1e-3)
    assert estimate.lower - 1e-6 <= exact <= estimate.upper + 1e-6


def test_figures_inside_the_organ_leave_the_background_out() -> None:
    scores, truth = _slices("gaussian")
    inside = ndimage.binary_dilation(truth, iterations=3)
    scores[~inside] = -50
    pooled = _pool(scores, truth, inside)
    value = ranking.auroc(pooled.column("normal_inside"), pooled.column("anomalous_inside")).value
    assert value == pytest.approx(roc_auc_score(truth[inside], scores[inside]), abs=1e-3)
    assert value < ranking.auroc(pooled.column("normal"), pooled.column("anomalous")).value


@pytest.mark.parametrize("fill", [False, True])
def test_metrics_of_one_class_are_undefined(fill: bool) -> None:
    scores = _scores("uniform", (3, 20, 20))
    pooled = _pool(scores, np.full(scores.shape, fill))
    normal, anomalous = pooled.column("normal"), pooled.column("anomalous")
    assert np.isnan(ranking.auroc(normal, anomalous).value)
    assert np.isnan(ranking.aupro(normal, pooled.column("region_weight"), pooled.n_regions).value)
    precision = ranking.average_precision(normal, anomalous).value
    assert precision == 1.0 if fill else np.isnan(precision)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.booleans()), min_size=2, max_size=80))
def test_bounds_hold_for_any_scores(pairs: list[tuple[float, bool]]) -> None:
    scores = np.array([pair[0] for pair in pairs], np.float32)
    truth = np.array([pair[1] for pair in pairs])
    if truth.all() or not truth.any():
        return
    pooled = _pool(scores[None, None], truth[None, None])
    normal, anomalous = pooled.column("normal"), pooled.column("anomalous")
    for estimate, exact in (
        (ranking.auroc(normal, anomalous), roc_auc_score(truth, scores)),
        (ranking.average_precision(normal, anomalous), average_precision_score(truth, scores)),
    ):
        assert estimate.lower - 1e-9 <= exact <= estimate.upper + 1e-9


@settings(max_examples=100, deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False), st.floats(-8, 8, width=32))
def test_bins_keep_the_order_of_scores(first: float, second: float) -> None:
    low, high = sorted((first, second))
    bins = counting.score_bins(np.array([low, high]))
    assert bins[0] <= bins[1]


def test_a_map_with_nan_is_refused_in_words() -> None:
    with pytest.raises(InputError, match="NaN or infinite"):
        counting.score_bins(np.array([0.0, np.nan]))


def test_image_auroc_is_exact_with_ties() -> None:
    scores = RNG.integers(0, 5, 60)
    labels = RNG.uniform(size=60) < 0.4

    def value(sick: np.ndarray) -> float:
        pool = MapPool(images=[(float(s), bool(y), f"g{n % 3}") for n, (s, y) in enumerate(zip(scores, sick))])
        return float(ranking.auroc(*(table.sum(0) for table in image_tables(pool, ["g0", "g1", "g2"]))).value)

    assert value(labels) == pytest.approx(roc_auc_score(labels, scores))
    assert np.isnan(value(np.ones(60, bool)))


def test_best_dice_cut_is_the_best_of_all_cuts() -> None:
    scores, truth = _slices("squared distances", 4, 24)
    pooled = _pool(scores, truth)
    best = pooled.bins[ranking.best_dice_bin(pooled.column("normal"), pooled.column("anomalous"))]
    cut = scores.ravel()[counting.score_bins(scores) >= best].min()
    all_dice = [2 * ((scores >= t) & truth).sum() / ((scores >= t).sum() + truth.sum()) for t in np.unique(scores)]
    found = 2 * ((scores >= cut) & truth).sum() / ((scores >= cut).sum() + truth.sum())
    assert found == pytest.approx(max(all_dice), abs=2e-3)


def test_dice_of_two_empty_masks_is_undefined_and_of_one_empty_mask_zero() -> None:
    true, marked, anomalous = np.array([0, 0, 0]), np.array([0, 0, 4]), np.array([0, 8, 0])
    np.testing.assert_array_equal(counting.dice(true, marked, anomalous), [np.nan, 0.0, 0.0])


def test_a_lesion_is_found_from_a_tenth_and_specks_do_not_count() -> None:
    truth = np.zeros((40, 40), bool)
    truth[2:12, 2:12], truth[20:30, 20:30], truth[35, 35] = True, True, True
    counter = counting.LesionCounter(truth)
    assert counter.n_lesions == 2
    prediction = np.zeros_like(truth)
    prediction[2, 2:12] = True
    prediction[20, 20:29] = True
    assert counter.n_found(prediction) == 1
    assert counter.n_found(truth) == 2
    assert counter.n_found(~truth) == 0


def test_lesions_touching_at_a_corner_are_one_in_a_volume() -> None:
    truth = np.zeros((4, 8, 8), bool)
    truth[0, :4, :4], truth[1, 4:, 4:] = True, True
    assert counting.LesionCounter(truth).n_lesions == 1


def test_coarser_bins_keep_every_pixel() -> None:
    scores, truth = _slices("gaussian", 2)
    histogram = counting.ScoreHistogram.of_slice(scores[1], truth[1], truth[1])
    coarse = histogram.coarser(14)
    assert len(coarse.bins) < len(histogram.bins) / 3
    np.testing.assert_allclose(coarse.counts.sum(0), histogram.counts.sum(0))


def test_interval_by_group_covers_the_mean_and_narrows_with_groups() -> None:
    widths = []
    for n_groups in (6, 60):
        values = np.random.default_rng(1).normal(0.6, 0.1, n_groups)
        ((low, high),) = ranking.percentile_interval(lambda w, v=values: (w @ v / w.sum(1))[:, None], n_groups)
        assert low < values.mean() < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert ranking.percentile_interval(lambda w: w.sum(1), 1) is None
    assert ranking.percentile_interval(lambda w: w[:, :2] * np.nan, 5) == [None, None]
