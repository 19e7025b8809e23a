"""Embeddings are kept in half precision within bounds, never mixed up, and gone after close."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.method import spill_folder
from MIASSAMLib.method.embedding_cache import EmbeddingCache, embedding_key

SHAPE = (4, 8, 8)
BYTES = 2 * int(np.prod(SHAPE))


def embedding(seed: int) -> torch.Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def cache(tmp_path):
    """Room for three embeddings in memory and five on disk."""
    with EmbeddingCache(3 * BYTES, 5 * BYTES, tmp_path) as cache:
        yield cache


def test_embedding_comes_back_in_half_precision(cache) -> None:
    cache.put("a", 7, embedding(7))
    assert torch.equal(cache.get("a", 7), embedding(7).half())
    assert cache.get("a", 8) is None and cache.get("b", 7) is None


def test_memory_is_bounded_and_the_rest_comes_back_from_disk(cache, tmp_path) -> None:
    for index in range(7):
        cache.put("a", index, embedding(index))
        assert cache.memory_used <= 3 * BYTES
    assert len(list(tmp_path.glob("*/*.npy"))) == 4 and len(cache) == 7
    assert all(torch.equal(cache.get("a", index), embedding(index).half()) for index in range(7))


def test_embedding_used_last_stays_in_memory(cache, tmp_path) -> None:
    for index in range(3):
        cache.put("a", index, embedding(index))
    cache.get("a", 0)
    cache.put("a", 3, embedding(3))
    assert [path.stem.split("-")[1] for path in tmp_path.glob("*/*.npy")] == ["1"]


def test_disk_is_bounded_too(cache, tmp_path) -> None:
    for index in range(20):
        cache.put("a", index, embedding(index))
    assert len(list(tmp_path.glob("*/*.npy"))) == 5 and len(cache) == 8


def test_newer_embedding_replaces_the_older_even_on_disk(cache) -> None:
    for index in range(5):
        cache.put("a", index, embedding(index))
    cache.put("a", 0, embedding(100))
    assert torch.equal(cache.get("a", 0), embedding(100).half()) and len(cache) == 5


def test_volumes_do_not_mix_and_one_can_be_dropped(cache, tmp_path) -> None:
    for index in range(2):
        cache.put("a", index, embedding(index))
        cache.put("b", index, embedding(10 + index))
    assert torch.equal(cache.get("b", 0), embedding(10).half())
    cache.drop("a")
    assert len(cache) == 2 and ("a", 0) not in cache and ("b", 1) in cache


def test_lost_folder_only_forgets(cache, tmp_path) -> None:
    for index in range(5):
        cache.put("a", index, embedding(index))
    for path in tmp_path.glob("*/*.npy"):
        path.unlink()
    assert cache.get("a", 0) is None and cache.get("a", 4) is not None


def test_close_deletes_the_folder_and_keeps_nothing(tmp_path) -> None:
    cache = EmbeddingCache(BYTES, folder=tmp_path)
    for index in range(3):
        cache.put("a", index, embedding(index))
    assert list(tmp_path.iterdir())
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
from MIASSAMLib.method.embedding_cache import EmbeddingCache
cache = EmbeddingCache(0, folder=Path(sys.argv[1]))
cache.put("a", 0, torch.zeros(2, 2, 2))
print("ready", flush=True)
sys.stdin.read()
os._exit(1)
"""


def test_folder_of_a_killed_process_is_swept_and_one_in_use_is_not(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(spill_folder, "_SWEEP_AFTER_S", -1.0)
    package = str(Path(spill_folder.__file__).parents[2])
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": package},
    )
    assert process.stdout.readline() == b"ready\n"
    with EmbeddingCache(0, folder=tmp_path) as cache:
        cache.put("a", 0, torch.ones(2, 2, 2))
        assert len(list(tmp_path.iterdir())) == 2
        assert spill_folder.sweep(tmp_path) == 0
        process.communicate()
        time.sleep(0.05)
        assert spill_folder.sweep(tmp_path) == 1
        assert torch.equal(cache.get("a", 0), torch.ones(2, 2, 2).half())
