"""Procedural scenes and the prompts drawn on them mean what the training takes them to mean."""

import numpy as np
import pytest

from training.anatomy import ANATOMIES
from training.feed import SceneSource, Stage
from training.prompts import (
    BOX_FIRST,
    IN_TRAINING,
    NEGATIVE,
    POSITIVE,
    bounding_box,
    choose_object,
    click_inside,
    draw_examples,
    window,
)
from training.scene import draw_scene
from training.validation import validation_batches


def scenes_with_lesions(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    found = []
    while len(found) < count:
        layers = draw_scene(rng).stacked()
        if layers[3].any():
            found.append(layers)
    return found


def pixel_of(coords: np.ndarray, side_px: int) -> tuple[int, int]:
    column, row = np.round((coords + 0.5) * side_px / 1024 - 0.5).astype(int)
    return row, column


def test_same_seed_draws_the_same_scene() -> None:
    first, second, other = (draw_scene(np.random.default_rng(seed)).stacked() for seed in (3, 3, 4))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("draw", ANATOMIES)
def test_every_region_that_is_drawn_has_a_tone(draw) -> None:
    for seed in range(4):
        anatomy = draw(np.random.default_rng(seed))
        assert set(np.unique(anatomy.region)) - {0} <= set(anatomy.tones)
        assert anatomy.host.any() and anatomy.organ[anatomy.host].all()


def test_lesions_differ_from_the_tissue_they_replaced() -> None:
    differs = []
    for layers in scenes_with_lesions(12):
        lesion = layers[3] > 0
        image = layers[0].astype(float)
        beside = (layers[1] == layers[1][lesion][0]) & ~lesion
        differs.append(abs(image[lesion].mean() - image[beside].mean()) > 10)
    assert np.mean(differs) > 0.6


@pytest.mark.parametrize("side_px", [128, 256])
def test_first_click_lies_in_the_finest_object_and_that_in_region_and_organ(side_px: int) -> None:
    rng = np.random.default_rng(0)
    for layers in scenes_with_lesions(6):
        examples = draw_examples(rng, layers, 6, True, side_px)
        assert examples.raster.shape == (side_px, side_px) and examples.raster.dtype == np.float32
        assert examples.raster.min() >= 0 and examples.raster.max() <= 1
        for target, coords, labels in zip(examples.targets, examples.coords, examples.labels):
            organ, region, finest = target
            assert not (finest & ~region).any() and not (finest & ~organ).any()
            if labels[0] == POSITIVE:
                assert finest[pixel_of(coords[0], side_px)]
            if labels[1] == NEGATIVE:
                assert not finest[pixel_of(coords[1], side_px)]


def test_boxes_lie_close_round_the_finest_object() -> None:
    rng = np.random.default_rng(1)
    n_boxes = 0
    for layers in scenes_with_lesions(10):
        examples = draw_examples(rng, layers, 8, True, 256)
        for target, coords, labels in zip(examples.targets, examples.coords, examples.labels):
            if labels[0] == BOX_FIRST:
                n_boxes += 1
                tight = bounding_box(target[2])
                assert np.abs((coords + 0.5) / 4 - tight).max() < 5 + 0.3 * (tight[1] - tight[0]).max()
    assert n_boxes > 5


def test_validation_asks_with_one_click_and_leaves_the_image_as_it_is() -> None:
    layers = scenes_with_lesions(1)[0]
    examples = draw_examples(np.random.default_rng(0), layers, 3, False, 256)
    assert np.array_equal(examples.raster, layers[0].astype(np.float32) / 255)
    assert (examples.labels == [POSITIVE, -1]).all()


def test_window_puts_normal_tissue_at_very_different_levels() -> None:
    rng = np.random.default_rng(0)
    raster = np.full((64, 64), 0.5, np.float32)
    levels = [float(np.median(window(rng, raster, raster > 0))) for _ in range(60)]
    assert min(levels) < 0.3 and max(levels) > 0.6


def test_object_is_a_whole_lesion_when_one_is_chosen() -> None:
    layers = scenes_with_lesions(1)[0]
    rng = np.random.default_rng(0)
    chosen = [choose_object(rng, layers, 0.8) for _ in range(20)]
    lesions = [mask for mask, is_lesion in chosen if is_lesion]
    assert lesions and all(any(np.array_equal(mask, layers[3] == k) for k in range(1, 20)) for mask in lesions)


def test_clicks_reach_the_border_of_an_object_as_well_as_its_middle() -> None:
    mask = np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    rng = np.random.default_rng(0)
    clicks = [click_inside(rng, mask, IN_TRAINING.click_depths) for _ in range(200)]
    away = [max(abs(x - 63.5), abs(y - 63.5)) for x, y in clicks]
    assert max(away) < 32.5 and max(away) > 28 and min(away) < 4


def test_source_shows_scenes_again_but_keeps_drawing_new_ones() -> None:
    source = SceneSource(np.random.default_rng(0), capacity=2, reuse=3)
    shown = [source.next().tobytes() for _ in range(12)]
    assert 2 < len(set(shown)) < 12
    assert len(source.batch(Stage(128, 2, 3))) == 2


def test_validation_asks_what_it_always_asked():
    batches = validation_batches(16)
    assert sum(int(batch.is_lesion.sum()) for batch in batches) == 41
    assert float(batches[0].coords.sum()) == 24492
