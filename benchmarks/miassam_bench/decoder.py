"""The decoder: a prompt at a time, many prompts at once, and a moved point from the event to the mask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from MIASSAMLib.arrays import AnyArray
from MIASSAMLib.config import preset
from MIASSAMLib.method import Segmenter, UserPrompts
from MIASSAMLib.method.embedding_cache import EmbeddingCache
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.protocols import Prompts

from .plain import PlainWay
from .rows import Row
from .subjects import Subject
from .timing import Effort, race

_MANY = 8


def decoder_rows(subject: Subject, effort: Effort) -> Iterator[Row]:
    """Measure decoding in turns with segment-anything's own prompt encoder and decoder."""
    embedding = subject.fast.encode(subject.raster())[0]
    one, many = click_prompts(1), click_prompts(_MANY)
    way = PlainWay(subject.plain)
    times = race(
        {
            "one": lambda: subject.fast.decode(embedding, one),
            "many": lambda: subject.fast.decode(embedding, many),
            "plain": lambda: way.decode(embedding, one),
            "plain many": lambda: [way.decode(embedding, one) for _ in range(_MANY)],
        },
        effort,
        subject.device,
    )
    name, device = subject.name, subject.device
    yield Row.of_times("decoder, one prompt", name, device, times["one"], times["plain"])
    yield Row.of_times(f"decoder, {_MANY} prompts at once", name, device, times["many"], times["plain many"])
    dice = mask_dice(subject.fast.decode(embedding, one).low_res_logits, way.decode(embedding, one)[0])
    yield Row(f"decoder, mask Dice to float32 ({subject.weights} weights)", name, device, dice, "", 1.0, dice)
    yield redecode_row(subject, effort)


def click_prompts(count: int) -> Prompts:
    """Return prompts of one click each, spread over the frame."""
    places = np.linspace(300, 700, count, dtype=np.float32)
    points = np.stack([places, places[::-1]], -1)[:, None]
    return Prompts(points, np.ones((count, 1), np.int64))


def redecode_row(subject: Subject, effort: Effort) -> Row:
    """Measure a moved point: from the new position to the mask in the slice's own pixels."""
    volume = make_phantom("brain").volume
    segmenter = Segmenter(subject.fast, None, preset("paper"))
    reading = segmenter.open(volume, EmbeddingCache())
    index = reading.prepared.plane.n_slices // 2
    rows, columns = reading.prepared.plane.shape_yx
    places = iter(np.linspace(0.3, 0.7, 10_000))

    def move() -> Any:
        point = np.array([columns, rows]) * next(places)
        return segmenter.correct(reading, index, UserPrompts.inside_at(point))

    times = race({"move": move}, effort, subject.device)["move"]
    return Row.of_times("re-decode after a moved point, event to mask array", subject.name, subject.device, times)


def mask_dice(first: AnyArray, second: torch.Tensor) -> float:
    """Return the Dice of two sets of logits above 0; 1 when both are empty."""
    one, other = first > 0, second.float().cpu().numpy() > 0
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
