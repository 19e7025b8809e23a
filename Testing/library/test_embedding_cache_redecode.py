"""A reading encodes each slice once, decodes again from the cache at once, and survives a full cache."""

import numpy as np
import pytest
from miassam_bench.end_to_end import make_segmenter, textured_volume
from MIASSAMLib.method import Reading, Segmenter, UserPrompts
from MIASSAMLib.method.embedding_cache import EmbeddingCache
from MIASSAMLib.sam import load_model

ROWS = np.random.default_rng(0).standard_normal((64, 1024), np.float32)
POINT = UserPrompts.inside_at(np.array([24.0, 24.0]))


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return make_segmenter(load_model("embedded", None, "cpu"), ROWS)


def opened(segmenter: Segmenter, cache: EmbeddingCache) -> Reading:
    return segmenter.open(textured_volume((5, 48, 48)), cache)


def masks(segmenter: Segmenter, reading: Reading) -> list[np.ndarray]:
    return [segmenter.correct(reading, index, POINT).mask for index in range(5)]


def test_second_round_encodes_nothing_and_gives_the_same_masks(segmenter) -> None:
    with EmbeddingCache() as cache:
        reading = opened(segmenter, cache)
        first, second = masks(segmenter, reading), masks(segmenter, reading)
        assert reading.n_encoded == 5
        np.testing.assert_array_equal(first, second)


def test_recalled_slice_gives_the_same_features(segmenter) -> None:
    with EmbeddingCache() as cache:
        reading = opened(segmenter, cache)
        fresh, recalled = reading.slice(2), reading.slice(2)
        assert reading.n_encoded == 1
        np.testing.assert_array_equal(recalled.features["embedding"], fresh.features["embedding"])
        np.testing.assert_array_equal(recalled.foreground, fresh.foreground)


def test_full_cache_encodes_again_what_it_gave_up(segmenter, tmp_path) -> None:
    with EmbeddingCache(2 * 2**21, 0, tmp_path) as cache:
        reading = opened(segmenter, cache)
        first, second = masks(segmenter, reading), masks(segmenter, reading)
        assert reading.n_encoded > 5
        np.testing.assert_array_equal(first, second)


def test_readings_share_embeddings_of_one_volume_and_model(segmenter) -> None:
    with EmbeddingCache() as cache:
        first, second = opened(segmenter, cache), opened(segmenter, cache)
        np.testing.assert_array_equal(masks(segmenter, first), masks(segmenter, second))
        assert (first.n_encoded, second.n_encoded) == (5, 0)
        second.forget()
        masks(segmenter, second)
        assert second.n_encoded == 5


def test_without_a_cache_some_embeddings_rest_in_memory(segmenter) -> None:
    reading = segmenter.open(textured_volume((5, 48, 48)))
    encoded = reading.slice(1)
    reading.rest(encoded)
    np.testing.assert_array_equal(reading.slice(1).embedding, encoded.embedding)
    assert reading.n_encoded == 1
