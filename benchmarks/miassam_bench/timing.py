"""Time ways of doing the same thing in turns, so that a busy machine is unfair to none."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

_LONG_S = 20.0
"""A first run longer than this is no warm-up: setting up is lost in it."""

_PATIENCE = 4


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        runs: most runs of each way.
        budget_s: no further round starts after this time once every way has run `least` times;
            after four times this time one run of each is enough.
        least: fewest runs of each way.
        warm_up: run each way once before, uncounted unless it took over `_LONG_S`.
        clock: "wall", or "cpu" for the processor time of this process and its children, which a
            busy machine does not distort as long as torch runs on one thread.
    """

    runs: int = 9
    budget_s: float = 60.0
    least: int = 3
    warm_up: bool = True
    clock: str = "wall"


QUICK = Effort(runs=3, budget_s=10.0, least=1)


def race(ways: Mapping[str, Callable[[], object]], effort: Effort, device: str = "cpu") -> dict[str, list[float]]:
    """Return seconds of each run of each way, the ways taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    start = time.perf_counter()
    if effort.warm_up:
        for name, way in ways.items():
            first = seconds(way, device, effort.clock)
            times[name] += [first] if first > _LONG_S else []
    for done in range(effort.runs):
        spent = time.perf_counter() - start
        if done >= effort.least and spent > effort.budget_s or done and spent > _PATIENCE * effort.budget_s:
            break
        for name, way in ways.items():
            if len(times[name]) <= done:
                times[name].append(seconds(way, device, effort.clock))
    return times


def seconds(way: Callable[[], object], device: str = "cpu", clock: str = "wall") -> float:
    """Return the seconds one call takes, until the device is done."""
    now = time.perf_counter if clock == "wall" else processor_time
    synchronize(device)
    start = now()
    way()
    synchronize(device)
    return now() - start


def processor_time() -> float:
    """Return the processor seconds this process and its ended children have used."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def synchronize(device: str) -> None:
    """Wait for a GPU to finish."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device.startswith("mps"):
        torch.mps.synchronize()
