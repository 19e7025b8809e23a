"""Batches, drawn by a process of their own as training goes."""

import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from training.fields import Labels
from training.prompts import Examples, draw_examples
from training.scene import draw_scene

HARD_SHARE = 0.25
"""Share of scenes of the kind that validation uses, of other seeds."""


@dataclass(frozen=True)
class Stage:
    """A resolution and how much is asked at once.

    Attributes:
        side_px: side of raster and targets.
        n_images: images per batch.
        n_prompts: prompts per image.
    """

    side_px: int
    n_images: int
    n_prompts: int


@dataclass
class Batch:
    """Tensors of one step; B images, N = B * P prompts, image by image.

    Attributes:
        rasters: (B, 1, S, S) float in [0, 1].
        targets: (N, 3, S, S) float 0 or 1: organ, region, finest.
        coords, labels: prompts (N, 2, 2) in frame px, (N, 2).
        is_lesion: (N,) bool.
    """

    rasters: Tensor
    targets: Tensor
    coords: Tensor
    labels: Tensor
    is_lesion: Tensor

    @classmethod
    def collate(cls, examples: list[Examples], device: torch.device | str = "cpu") -> "Batch":
        """Stack the examples of several images."""
        return cls(
            torch.from_numpy(np.stack([each.raster for each in examples]))[:, None].to(device),
            torch.from_numpy(np.concatenate([each.targets for each in examples])).to(device).float(),
            torch.from_numpy(np.concatenate([each.coords for each in examples])).to(device),
            torch.from_numpy(np.concatenate([each.labels for each in examples])).to(device),
            torch.from_numpy(np.concatenate([each.is_lesion for each in examples])).to(device),
        )


class SceneSource:
    """Scenes drawn as asked, each shown several times with other augmentations before it is forgotten.

    Args:
        rng: source of chance.
        capacity: how many scenes are remembered.
        reuse: how often a scene is shown, on average.
    """

    def __init__(self, rng: np.random.Generator, capacity: int = 600, reuse: float = 2.0) -> None:
        self._rng, self._capacity, self._reuse = rng, capacity, reuse
        self._scenes: list[Labels] = []

    def next(self) -> Labels:
        """Return the layers of a new or remembered scene (4, 256, 256)."""
        if self._scenes and self._rng.random() > 1 / self._reuse:
            return self._scenes[int(self._rng.integers(len(self._scenes)))]
        layers = draw_scene(self._rng, is_hard=self._rng.random() < HARD_SHARE).stacked()
        if len(self._scenes) < self._capacity:
            self._scenes.append(layers)
        else:
            self._scenes[int(self._rng.integers(self._capacity))] = layers
        return layers

    def batch(self, stage: Stage) -> list[Examples]:
        """Draw the examples of one batch."""
        return [
            draw_examples(self._rng, self.next(), stage.n_prompts, True, stage.side_px) for _ in range(stage.n_images)
        ]


def _fill(queue: Any, stage: Stage, seed: tuple[int, ...]) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    source = SceneSource(np.random.default_rng(seed))
    while True:
        queue.put((stage, source.batch(stage)))


@contextmanager
def feed(stage: Stage, seed: tuple[int, ...], n_processes: int = 1) -> Iterator[Iterator[list[Examples]]]:
    """Draw batches in other processes for as long as the context lives; yields an endless iterator."""
    if n_processes == 0:
        source = SceneSource(np.random.default_rng(seed))
        yield (source.batch(stage) for _ in iter(int, 1))
        return
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(4)
    workers = [
        context.Process(target=_fill, args=(queue, stage, (*seed, number)), daemon=True)
        for number in range(n_processes)
    ]
    for worker in workers:
        worker.start()
    try:
        yield (queue.get(timeout=3600)[1] for _ in iter(int, 1))
    finally:
        for worker in workers:
            worker.terminate()
