"""Embeddings are kept in half precision within bounds, never mixed up, and gone with the process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from library.evaluation_trees import FakeModel
from MIASSAMLib.method import embeddings
from MIASSAMLib.method.embeddings import EmbeddingCache, EncodeOnceModel, embedding_key

SHAPE = (4, 8, 8)
BYTES = 2 * int(np.prod(SHAPE))
RASTERS = np.random.default_rng(0).uniform(size=(5, 256, 256)).astype(np.float32)


def embedding(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def cache(tmp_path):
    """Room for five embeddings."""
    with EmbeddingCache(5 * BYTES, tmp_path, SHAPE) as cache:
        yield cache


def test_embedding_comes_back_in_half_precision(cache) -> None:
    cache.put("a", 7, embedding(7))
    assert torch.equal(cache.get("a", 7), embedding(7).half())
    assert cache.get("a", 8) is None and cache.get("b", 7) is None


def test_the_file_is_bounded_and_the_embedding_unused_for_longest_gives_its_place(cache) -> None:
    for index in range(5):
        cache.put("a", index, embedding(index))
    cache.get("a", 0)
    for index in (5, 6):
        cache.put("a", index, embedding(index))
    assert [index for index in range(7) if ("a", index) in cache] == [0, 3, 4, 5, 6]
    assert all(torch.equal(cache.get("a", index), embedding(index).half()) for index in (0, 3, 4, 5, 6))
    assert os.fstat(cache._file.fileno()).st_size == 5 * BYTES


def test_what_was_handed_out_does_not_change_when_its_place_is_given_away(cache) -> None:
    cache.put("a", 0, embedding(0))
    handed_out = cache.get("a", 0)
    for index in range(1, 7):
        cache.put("a", index, embedding(index))
    assert torch.equal(handed_out, embedding(0).half())


def test_newer_embedding_replaces_the_older(cache) -> None:
    cache.put("a", 0, embedding(0))
    cache.put("a", 0, embedding(100))
    assert torch.equal(cache.get("a", 0), embedding(100).half()) and len(cache) == 1


def test_volumes_do_not_mix_and_one_can_be_dropped(cache) -> None:
    for index in range(2):
        cache.put("a", index, embedding(index))
        cache.put("b", index, embedding(10 + index))
    assert torch.equal(cache.get("b", 0), embedding(10).half())
    cache.drop("a")
    assert len(cache) == 2 and ("a", 0) not in cache and ("b", 1) in cache
    for index in range(3):
        cache.put("c", index, embedding(20 + index))
    assert torch.equal(cache.get("b", 1), embedding(11).half()) and len(cache) == 5


def test_a_full_disk_only_forgets(cache, monkeypatch) -> None:
    cache.put("a", 0, embedding(0))
    monkeypatch.setattr(cache, "_write", lambda slot, half: (_ for _ in ()).throw(OSError("no space left")))
    cache.put("a", 1, embedding(1))
    assert cache.get("a", 1) is None and torch.equal(cache.get("a", 0), embedding(0).half())


def test_close_deletes_the_file_and_keeps_nothing(cache, tmp_path) -> None:
    cache.put("a", 0, embedding(0))
    cache.close()
    cache.put("a", 0, embedding(0))
    assert not list(tmp_path.iterdir()) and len(cache) == 0


def test_key_follows_voxels_type_shape_config_and_model() -> None:
    voxels = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    keys = {
        embedding_key(voxels, "config", "model"),
        embedding_key(voxels + 1, "config", "model"),
        embedding_key(voxels.reshape(3, 2, 4), "config", "model"),
        embedding_key(voxels, "config", "other"),
        embedding_key(voxels, "configm", "odel"),
    }
    assert len(keys) == 5 and embedding_key(voxels[:, ::-1], "m") == embedding_key(voxels[:, ::-1].copy(), "m")


KILLED = """
import os, sys, torch
from pathlib import Path
from MIASSAMLib.method.embeddings import EmbeddingCache
cache = EmbeddingCache(1000, Path(sys.argv[1]), (2, 2, 2))
cache.put("a", 0, torch.zeros(2, 2, 2))
assert len(cache) == 1
os._exit(1)
"""


def test_the_file_of_a_killed_process_is_gone(tmp_path) -> None:
    package = str(Path(embeddings.__file__).parents[2])
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    assert subprocess.run(command, env={**os.environ, "PYTHONPATH": package}, check=False).returncode == 1
    assert not list(tmp_path.iterdir())


def test_kept_and_fresh_embeddings_are_the_same_and_come_back_in_order(tmp_path) -> None:
    model, wanted = FakeModel(), FakeModel().encode(RASTERS).half().float()
    with EmbeddingCache(folder=tmp_path) as kept:
        once = EncodeOnceModel(model, kept)
        assert torch.equal(once.encode(RASTERS[[3, 1]]), wanted[[3, 1]])
        assert torch.equal(once.encode(RASTERS), wanted)
    assert (model.n_encoded, once.n_encoded) == (5, 5)


def test_another_model_or_content_box_is_not_confused(tmp_path) -> None:
    model, other = FakeModel(), FakeModel()
    other.digest = "1" * 64
    with EmbeddingCache(folder=tmp_path) as kept:
        once = EncodeOnceModel(model, kept)
        once.encode(RASTERS[:1])
        once.encode(RASTERS[:1], np.array([[0, 0, 1024, 512]]))
        EncodeOnceModel(other, kept).encode(RASTERS[:1])
    assert (model.n_encoded, other.n_encoded) == (2, 1)


def test_a_full_cache_keeps_the_first_and_encodes_the_rest_again(tmp_path) -> None:
    model = FakeModel()
    with EmbeddingCache(2 * 2**21, tmp_path) as kept:
        once = EncodeOnceModel(model, kept)
        once.encode(RASTERS)
        once.encode(RASTERS)
    assert model.n_encoded == 5 + 3
