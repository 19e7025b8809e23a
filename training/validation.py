"""The procedural validation: hard scenes of fixed seeds, asked with clicks, boxes and second rounds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from MIASSAMLib.sam.embedded import EmbeddedSam
from numpy.typing import NDArray
from torch import Tensor

from training.feed import Batch
from training.learner import corrective_clicks, decode
from training.loss import iou
from training.prompts import BOX_FIRST, BOX_SECOND, bounding_box, draw_examples
from training.scene import draw_scene

VALIDATION_SEED = 7_000_001
N_PROMPTS = 3


def validation_batches(n_images: int, side_px: int = 256, per_batch: int = 8) -> list[Batch]:
    """Draw the validation set, the same at every call: one click on each of three objects per image."""
    batches = []
    for start in range(0, n_images, per_batch):
        examples = []
        for index in range(start, min(n_images, start + per_batch)):
            rng = np.random.default_rng((VALIDATION_SEED, index))
            examples.append(draw_examples(rng, draw_scene(rng, is_hard=True).stacked(), N_PROMPTS, False, side_px))
        batches.append(Batch.collate(examples))
    return batches


@torch.no_grad()
def validate(model: EmbeddedSam, batches: Sequence[Batch], with_rounds: bool = False) -> dict[str, float]:
    """Measure IoU with the finest object; `with_rounds` also asks with boxes and second rounds."""
    parts: dict[str, list[Tensor]] = {}
    lesion = torch.cat([batch.is_lesion for batch in batches])
    torch.manual_seed(VALIDATION_SEED)
    for batch in batches:
        for name, value in _measure(model, batch, with_rounds).items():
            parts.setdefault(name, []).append(value)
    joined = {name: torch.cat(values) for name, values in parts.items()}
    results = {f"lesion_{name}": float(value[lesion].mean()) for name, value in joined.items()}
    return {**results, "region_third": float(joined["third"][~lesion].mean()), "n_lesions": int(lesion.sum())}


def _measure(model: EmbeddedSam, batch: Batch, with_rounds: bool) -> dict[str, Tensor]:
    """Return IoUs with the finest object (N,) of one batch by way of asking."""
    embedding = model.image_encoder.grey(batch.rasters).repeat_interleave(len(batch.targets) // len(batch.rasters), 0)
    finest = batch.targets[:, 2] > 0.5

    def ask(coords: Tensor, labels: Tensor, previous: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        logits, guess = decode(model, embedding, coords, labels, previous)
        scores = iou((logits[:, 1:] > 0).flatten(2), finest[:, None].flatten(2))
        return logits, scores, guess[:, 1:].argmax(1, keepdim=True)

    logits, scores, chosen = ask(batch.coords, batch.labels, None)
    found = {"third": scores[:, 2], "best": scores.max(1).values, "chosen": scores.gather(1, chosen)[:, 0]}
    if not with_rounds:
        return found
    click, label = corrective_clicks(logits[:, 3] > 0, finest)
    coords = torch.cat([batch.coords, click[:, None]], 1)
    labels = torch.cat([batch.labels, label[:, None]], 1)
    found["second_click"] = ask(coords, labels, None)[1][:, 2]
    found["second_click_and_logits"] = ask(coords, labels, logits[:, 3:])[1][:, 2]
    found["logits_alone"] = ask(batch.coords, batch.labels, logits[:, 3:])[1][:, 2]
    found["box"] = ask(*_boxes(finest.cpu().numpy()), None)[1][:, 2]
    return found


def _boxes(masks: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Return tight boxes as labeled corners in frame px."""
    scale = np.float32(1024 / masks.shape[-1])
    corners = np.stack([bounding_box(mask) for mask in masks])
    corners[:, 1] -= 1
    labels = torch.tensor([[BOX_FIRST, BOX_SECOND]]).expand(len(masks), 2)
    return torch.from_numpy((corners + np.float32(0.5)) * scale - np.float32(0.5)), labels


def summary(results: dict[str, Any]) -> str:
    """Write results on one line."""
    return " ".join(
        f"{name}={value:.3f}" if isinstance(value, float) else f"{name}={value}" for name, value in results.items()
    )
