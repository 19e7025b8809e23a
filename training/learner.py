"""The network in training: one step, the moving average of its weights, and what a checkpoint holds."""

import copy
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from MIASSAMLib.sam.device import cpu_has_bf16_units
from MIASSAMLib.sam.embedded import EmbeddedSam
from torch import Tensor, nn
from torch.nn import functional as F

from training import team
from training.feed import Batch
from training.loss import GreyHead, grey_loss, mask_loss
from training.prompts import FRAME_PX, NEGATIVE, PAD, POSITIVE

SECOND_ROUND_CHANCE = 0.4
LOGITS_ALONE_CHANCE, CLICK_ALONE_CHANCE = 0.35, 0.2
GREY_WEIGHT = 0.3


@dataclass
class Progress:
    """How far training has come; kept in every checkpoint."""

    seconds: float = 0.0
    steps: int = 0
    images: int = 0
    prompts: int = 0
    starts: int = 0
    seed: int = 0
    warm_start: str = ""
    history: list[dict[str, Any]] = field(default_factory=list)


class Learner:
    """The network, its optimizer and its moving average.

    Args:
        seed: seeds the weights and the choice of second rounds.
        peak_rate: highest learning rate.
        decay: of the moving average.
        device: "cpu" or "cuda".
    """

    def __init__(self, seed: int, peak_rate: float, decay: float = 0.998, device: str = "cpu") -> None:
        torch.manual_seed(seed)
        self.device, self.peak_rate, self.decay = device, peak_rate, decay
        self.model = EmbeddedSam().to(device).to(memory_format=torch.channels_last).train()
        self.head = GreyHead().to(device)
        self.average = copy.deepcopy(self.model).eval()
        self.progress = Progress(seed=seed)
        self.optimizer = torch.optim.AdamW(self._groups(), lr=peak_rate, betas=(0.9, 0.98))
        self._is_half = device != "cpu" or cpu_has_bf16_units()  # emulated, bfloat16 is fifty times slower
        self._chance = torch.Generator().manual_seed(seed)

    def _groups(self) -> list[dict[str, Any]]:
        """Decay the matrices, not the biases, norms, embeddings and positions."""
        decayed, free = [], list(self.head.parameters())
        for name, parameter in self.model.named_parameters():
            is_place = any(word in name for word in ("embed", "token", "position"))
            (free if parameter.ndim < 2 or is_place else decayed).append(parameter)
        return [{"params": decayed, "weight_decay": 0.05}, {"params": free, "weight_decay": 0.0}]

    def warm_start(self, path: Path) -> None:
        """Start from the state dict of an earlier model instead of fresh weights."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        for model in (self.model, self.average):
            model.load_state_dict({name: value.float() for name, value in state.items()})
        self.progress.warm_start = path.name

    def step(self, batch: Batch, fraction: float) -> dict[str, float]:
        """Learn from one batch; `fraction` of the whole run has passed. Returns what to log."""
        warmth = min(1.0, (self.progress.steps + 1) / 100)
        rate = self.peak_rate * warmth * (0.49 * (1 + math.cos(math.pi * min(fraction, 1.0))) + 0.02)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, own_iou, second_iou = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        team.average_gradients([*self.model.parameters(), *self.head.parameters()])
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self._follow()
        self.progress.steps += 1
        self.progress.images += len(batch.rasters) * team.size()
        self.progress.prompts += len(batch.targets) * team.size()
        names = ("single", "organ", "region", "finest")
        logged = {name: float(value) for name, value in zip(names, own_iou.mean(0))}
        return {"loss": float(loss.detach()), **logged, "second": second_iou}

    def _loss(self, batch: Batch) -> tuple[Tensor, Tensor, float]:
        """Return the loss, the first round's IoUs (N, 4) and the second round's mean IoU (nan without one)."""
        with torch.autocast(self.device, torch.bfloat16, enabled=self._is_half):
            embedding = self.model.image_encoder.grey(batch.rasters.to(memory_format=torch.channels_last))
            repeated = embedding.to(torch.bfloat16 if self._is_half else torch.float32).repeat_interleave(
                len(batch.targets) // len(batch.rasters), 0
            )
            logits, guess = decode(self.model, repeated, batch.coords, batch.labels, None)
            loss, own_iou = mask_loss(logits, guess, batch.targets)
            loss = loss + GREY_WEIGHT * grey_loss(self.head(embedding), batch.rasters)
            if float(torch.rand((), generator=self._chance)) > SECOND_ROUND_CHANCE:
                return loss, own_iou, float("nan")
            coords, labels, previous = self._second_prompts(batch, logits.detach())
            logits, guess = decode(self.model, repeated, coords, labels, previous)
            second_loss, second_iou = mask_loss(logits, guess, batch.targets)
        return (loss + second_loss) / 2, own_iou, float(second_iou[:, 3].mean())

    def _second_prompts(self, batch: Batch, logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Answer the first round: a corrective click, the previous logits, or both."""
        click, label = corrective_clicks(logits[:, 3] > 0, batch.targets[:, 2] > 0.5)
        chance = float(torch.rand((), generator=self._chance))
        if chance < LOGITS_ALONE_CHANCE:
            label = torch.full_like(label, PAD)
        previous = None if chance > 1 - CLICK_ALONE_CHANCE else logits[:, 3:].float()
        coords = torch.cat([batch.coords, click[:, None]], 1)
        return coords, torch.cat([batch.labels, label[:, None]], 1), previous

    @torch.no_grad()
    def _follow(self) -> None:
        """Move the average toward the weights; faster at first."""
        steps = self.progress.steps
        share = 1 - min(self.decay, (1 + steps) / (10 + steps))
        for mean, value in zip(self.average.state_dict().values(), self.model.state_dict().values()):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:
                mean.copy_(value)

    def save(self, path: Path) -> None:
        """Write everything a resumed run needs, by way of a temporary file."""
        state = {
            "model": self.model.state_dict(),
            "head": self.head.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": vars(self.progress),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint written by `save`."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.model.load_state_dict(state["model"])
        self.head.load_state_dict(state["head"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.progress = Progress(**state["progress"])
        self._chance.manual_seed(self.progress.seed + self.progress.steps)


def decode(
    model: EmbeddedSam, embedding: Tensor, coords: Tensor, labels: Tensor, previous: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Decode one prompt per embedding (N, 256, h, w); return logits (N, 4, 4h, 4w) and predicted IoU (N, 4)."""
    encoder = model.prompt_encoder
    grid = (int(embedding.shape[2]), int(embedding.shape[3]))
    tokens = encoder.sparse(coords, labels)
    return model.decode_tokens(embedding, tokens, encoder.dense(coords, labels, previous, grid))


def corrective_clicks(masks: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Click where a mask is wrong, likelier in the middle of the larger mistakes.

    Args:
        masks, targets: (N, S, S) bool.

    Returns:
        Clicks (N, 2) in frame px, and labels (N,): positive where the target was missed, negative where it was
        exceeded, padding where the mask is right.
    """
    wrong = (masks ^ targets).float()
    crowd = F.avg_pool2d(wrong[:, None], 9, 1, 4)[:, 0]
    weight = (wrong * crowd**2).flatten(1)
    is_right = weight.sum(1) == 0
    places = torch.multinomial(weight + is_right[:, None].float(), 1)
    side = masks.shape[-1]
    label = torch.where(targets.flatten(1).gather(1, places), POSITIVE, NEGATIVE)[:, 0]
    xy = torch.cat([places % side, places // side], 1).float()
    return (xy + 0.5) * (FRAME_PX / side) - 0.5, torch.where(is_right, PAD, label)
