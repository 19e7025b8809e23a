"""The `published-code` preset reproduces every array the authors' code gave, seed by seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from MIASSAMLib.bank import ManifestDraft, MemoryBank
from MIASSAMLib.config import preset
from MIASSAMLib.method.anomaly_map import anomaly_map, patch_scores
from MIASSAMLib.method.patches import patch_embeddings
from MIASSAMLib.method.prompts import boxes_above, center_of_gravity

CONFIG = preset("published-code")


def embedding(seed: int, bump: tuple[int, int, int, float] | None = None) -> np.ndarray:
    values = np.random.RandomState(seed).standard_normal((256, 64, 64)).astype(np.float32)
    if bump:
        y, x, radius, amplitude = bump
        rows, columns = np.mgrid[:64, :64]
        values[:, (rows - y) ** 2 + (columns - x) ** 2 <= radius**2] += np.float32(amplitude)
    return values


def patches(*embeddings: np.ndarray) -> np.ndarray:
    return patch_embeddings(torch.from_numpy(np.stack(embeddings)), CONFIG)


@pytest.fixture(scope="module")
def golden(shared_golden) -> dict[str, np.ndarray]:
    with np.load(shared_golden / "published_code.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    rows = patches(embedding(0), embedding(1), embedding(2)).reshape(-1, 1024)
    bank = MemoryBank.from_rows({"embedding": rows}, ManifestDraft("published-code", {}, "", "seeded", ""))
    queries = patches(embedding(10, (20, 40, 4, 1.0)), embedding(11, (50, 10, 3, 2.0)), embedding(12))
    return np.stack([patch_scores(bank.search("embedding", query), CONFIG.distance) for query in queries])


@pytest.fixture(scope="module")
def maps(scores) -> np.ndarray:
    return np.stack([anomaly_map(score, CONFIG) for score in scores])


def test_patch_embeddings_agree(golden):
    rows = patches(embedding(0))[0]
    np.testing.assert_allclose(
        rows[golden["patch_embeddings_row_index"]], golden["patch_embeddings_normal0_rows"], atol=1e-6
    )
    np.testing.assert_allclose(rows.sum(1), golden["patch_embeddings_normal0_sum_per_row"], atol=1e-4)


def test_patch_scores_are_the_squared_distances(golden, scores):
    np.testing.assert_allclose(scores.reshape(3, 32, 32), golden["patch_scores"], rtol=1e-5)
    np.testing.assert_allclose(scores.max(1), golden["image_scores"], rtol=1e-5)


def test_anomaly_maps_agree_with_the_half_cell_shift(golden, maps):
    np.testing.assert_allclose(maps, golden["anomaly_maps"], rtol=1e-5)


def test_centers_of_gravity_and_boxes_agree_when_normalized_over_the_three_maps(golden, maps):
    normalized = (maps - maps.min()) / (maps.max() - maps.min())
    for number, values in enumerate(normalized):
        np.testing.assert_allclose(center_of_gravity(values), golden["normalized_points_xy"][number], atol=1e-3)
        boxes = golden[f"normalized_boxes_xyxy_{number}"]
        np.testing.assert_array_equal(boxes_above(values), boxes.reshape(-1, 4))


@pytest.mark.parametrize("number", range(4))
def test_prompts_of_hand_made_maps_agree(golden, number):
    values = golden["prompt_maps"][number]
    np.testing.assert_allclose(center_of_gravity(values), golden["prompt_points_xy"][number], atol=1e-3)
    np.testing.assert_array_equal(boxes_above(values), golden[f"prompt_boxes_xyxy_{number}"])


def test_without_the_shift_a_patch_lands_on_its_embedding_cell():
    """Regression for the published code's half-cell shift of (+2, +2) px of 256."""
    scores = np.zeros((32, 32), np.float32)
    scores[10, 20] = 1.0
    shifted, placed = (
        center_of_gravity(anomaly_map(scores, preset(name)), 1.0) for name in ("published-code", "paper")
    )
    np.testing.assert_allclose(placed, (20 * 8 + 1.5, 10 * 8 + 1.5), atol=0.05)
    np.testing.assert_allclose(shifted - placed, (2, 2), atol=0.05)
