"""The loss rewards the right thing, corrections point at mistakes, and a run trains, saves and resumes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.sam.embedded import load_embedded

from training.feed import SceneSource, Stage, feed
from training.learner import corrective_clicks
from training.loss import GREY_GAIN, GreyHead, gaussian, grey_loss, grey_statistics, mask_loss
from training.train import main


def nested_targets() -> torch.Tensor:
    targets = torch.zeros(1, 3, 32, 32)
    targets[0, 0, 4:28, 4:28] = 1
    targets[0, 1, 8:24, 8:24] = 1
    targets[0, 2, 12:20, 12:20] = 1
    return targets


def logits_of(targets: torch.Tensor) -> torch.Tensor:
    return 16 * targets[:, [2, 0, 1, 2]] - 8


def test_right_masks_cost_least() -> None:
    targets = nested_targets()
    right, own_iou = mask_loss(logits_of(targets), torch.zeros(1, 4), targets)
    empty, _ = mask_loss(torch.full((1, 4, 32, 32), -8.0), torch.zeros(1, 4), targets)
    assert torch.allclose(own_iou, torch.ones(1, 4))
    assert right < empty


def test_iou_head_is_asked_about_the_finest_object() -> None:
    targets = nested_targets()
    to_finest = torch.tensor([[1.0, 64 / 576, 64 / 256, 1.0]])
    honest, _ = mask_loss(logits_of(targets), to_finest, targets)
    proud, _ = mask_loss(logits_of(targets), torch.ones(1, 4), targets)
    assert honest < proud - 0.1


def test_corrective_click_is_positive_in_a_miss_and_negative_in_an_excess() -> None:
    targets = torch.zeros(3, 64, 64, dtype=torch.bool)
    targets[:, 10:40, 10:40] = True
    masks = targets.clone()
    masks[0, 10:40, 25:40] = False
    masks[1, 45:60, 10:40] = True
    clicks, labels = corrective_clicks(masks, targets)
    assert labels.tolist() == [1, 0, -1]
    (x0, y0), (x1, y1) = ((clicks[:2] + 0.5) / 16 - 0.5).tolist()
    assert 25 <= x0 < 40 and 10 <= y0 < 40
    assert 10 <= x1 < 40 and 45 <= y1 < 60


def test_gaussian_keeps_a_constant_and_spreads_a_point() -> None:
    assert torch.allclose(gaussian(torch.full((1, 1, 20, 20), 0.7), 3.0), torch.full((1, 1, 20, 20), 0.7))
    point = torch.zeros(1, 1, 41, 41)
    point[0, 0, 20, 20] = 1
    blurred = gaussian(point, 2.0)
    assert blurred.sum() == pytest.approx(1, abs=1e-4)
    assert blurred[0, 0, 20, 22] / blurred.max() == pytest.approx(0.6065, abs=1e-3)


def test_grey_head_cannot_amplify_a_faint_trace() -> None:
    head = GreyHead()
    with torch.no_grad():
        head.directions *= 100
    embedding = torch.randn(2, 256, 8, 8)
    largest = (head(embedding) - head.offset[:, None, None]).abs().amax()
    assert largest <= GREY_GAIN * embedding.norm(dim=1).max() * 1.0001


def test_grey_loss_is_zero_only_for_the_right_statistics() -> None:
    rasters = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    right = grey_statistics(rasters)
    assert right.shape == (2, 6, 16, 16)
    assert grey_loss(right, rasters) == 0
    assert grey_loss(right.flip(0), rasters) > 1e-4


def test_training_runs_from_scratch_resumes_and_its_weights_load(tmp_path: Path) -> None:
    arguments = [
        "--out",
        str(tmp_path),
        "--smoke",
        "--device",
        "cpu",
        "--seed",
        "3",
        "--workers",
        "0",
        "--threads",
        "1",
    ]
    assert main(arguments) == 0
    first = json.loads((tmp_path / "training.json").read_text())
    assert main(arguments) == 0
    second = json.loads((tmp_path / "training.json").read_text())
    assert (first["steps"], second["steps"]) == (4, 8)
    assert second["prompts"] == 2 * first["prompts"] == 32
    assert first["warm_start"] == "" and len(second["history"]) == 2
    trained = load_embedded(tmp_path / "weights.pt")
    shipped = load_embedded()
    assert any(not torch.equal(a, b) for a, b in zip(trained.parameters(), shipped.parameters()))
    logits, _ = trained.decode(
        trained.encode(torch.rand(1, 256, 256))[0], torch.full((1, 1, 2), 500.0), torch.ones(1, 1)
    )
    assert torch.isfinite(logits).all()
    assert "validation" in (tmp_path / "train.log").read_text()


def test_batches_come_from_another_process_too() -> None:
    stage = Stage(128, 1, 2)
    with feed(stage, (1, 2), n_processes=1) as batches:
        examples = next(batches)
    inline = SceneSource(np.random.default_rng((1, 2, 0))).batch(stage)
    assert np.array_equal(examples[0].raster, inline[0].raster)
