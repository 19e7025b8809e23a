"""A session encodes each slice once, decodes again from the cache at once, and survives a full cache."""

import numpy as np
import pytest
from miassam_bench.end_to_end import make_segmenter, textured_volume
from MIASSAMLib.config import preset
from MIASSAMLib.method import Preprocessing
from MIASSAMLib.method.embeddings import EmbeddingCache
from MIASSAMLib.sam import load_model
from MIASSAMLib.worker.session import WarmSegmenter

ROWS = np.random.default_rng(0).standard_normal((64, 1024), np.float32)
POINT, INSIDE = np.array([[24.0, 24.0]]), np.ones(1, int)


@pytest.fixture(scope="module")
def model():
    return load_model("embedded", None, "cpu")


def session(model, cache=None) -> WarmSegmenter:
    bank = make_segmenter(model, ROWS).bank
    return WarmSegmenter(model, bank, preset("paper"), Preprocessing(), textured_volume((5, 48, 48)), cache)


def masks(warm: WarmSegmenter) -> list[np.ndarray]:
    prepared = warm.prepare(warm.volume)
    encoded = warm.encode(prepared, range(5))
    return [warm.redecode(prepared, slice_, POINT, INSIDE).mask for slice_ in encoded]


def agreement(first: list[np.ndarray], second: list[np.ndarray]) -> float:
    return float(np.mean([(one == other).mean() for one, other in zip(first, second)]))


def test_second_round_encodes_nothing_and_gives_the_same_masks(model) -> None:
    warm = session(model)
    first, second = masks(warm), masks(warm)
    assert warm.n_encoded == 5 and agreement(first, second) > 0.999


def test_recalled_slice_gives_the_same_features(model) -> None:
    warm = session(model)
    prepared = warm.prepare(warm.volume)
    fresh, recalled = (next(warm.encode(prepared, [2])) for _ in range(2))
    assert not recalled.features
    np.testing.assert_allclose(recalled.features["embedding"], fresh.features["embedding"], atol=5e-3)
    assert (recalled.foreground == fresh.foreground).all()


def test_full_cache_encodes_again_what_it_gave_up(model, tmp_path) -> None:
    with EmbeddingCache(2 * 2**21, tmp_path) as cache:
        warm = session(model, cache)
        first, second = masks(warm), masks(warm)
        assert 5 < warm.n_encoded <= 10 and agreement(first, second) > 0.999


def test_sessions_share_embeddings_of_one_volume_and_model(model) -> None:
    with EmbeddingCache() as cache:
        first, second = session(model, cache), session(model, cache)
        assert agreement(masks(first), masks(second)) > 0.999
        assert (first.n_encoded, second.n_encoded) == (5, 0)
        second.forget()
        masks(second)
        assert second.n_encoded == 5
