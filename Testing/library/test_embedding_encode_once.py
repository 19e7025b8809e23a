"""Encode once: exact embeddings, in order, whatever part of a batch is already kept."""

from __future__ import annotations

import numpy as np
import torch
from library.evaluation_trees import FakeModel
from MIASSAMLib.method.encode_once import EncodeOnceModel

RASTERS = np.random.default_rng(0).uniform(size=(5, 256, 256)).astype(np.float32)


def test_kept_and_fresh_embeddings_come_back_in_order_and_exactly(tmp_path):
    model = FakeModel()
    wanted = FakeModel().encode(RASTERS)
    once = EncodeOnceModel(model, tmp_path, 10**9)
    once.encode(RASTERS[[3, 1]])
    assert torch.equal(once.encode(RASTERS), wanted)
    assert torch.equal(EncodeOnceModel(model, tmp_path, 10**9).encode(RASTERS[::-1]), wanted.flip(0))
    assert model.n_encoded == 5


def test_another_model_or_content_box_is_not_confused(tmp_path):
    model = FakeModel()
    once = EncodeOnceModel(model, tmp_path, 10**9)
    once.encode(RASTERS[:1])
    once.encode(RASTERS[:1], np.array([[0, 0, 1024, 512]]))
    other = FakeModel()
    other.digest = "1" * 64
    EncodeOnceModel(other, tmp_path, 10**9).encode(RASTERS[:1])
    assert (model.n_encoded, other.n_encoded) == (2, 1)


def test_a_full_folder_keeps_the_first_and_encodes_the_rest_again(tmp_path):
    model = FakeModel()
    once = EncodeOnceModel(model, tmp_path, 2 * 256 * 64 * 64 * 4 + 1000)
    once.encode(RASTERS)
    once.encode(RASTERS)
    assert model.n_encoded == 5 + 3
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_damaged_file_is_encoded_again(tmp_path):
    model = FakeModel()
    EncodeOnceModel(model, tmp_path, 10**9).encode(RASTERS[:2])
    for path in tmp_path.glob("*.npy"):
        path.write_bytes(path.read_bytes()[:1000])
    again = EncodeOnceModel(model, tmp_path, 10**9).encode(RASTERS[:2])
    assert torch.equal(again, FakeModel().encode(RASTERS[:2]))
    assert model.n_encoded == 4
