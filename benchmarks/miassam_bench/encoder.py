"""The encoder: time per slice, rate, share of the machine, and whether it still gives the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from MIASSAMLib.sam.acceleration import embedding_cosine

from .rows import Row
from .subjects import Subject, encoder_tflop
from .timing import Effort, race

_GPU_BATCH = 8


def encoder_rows(subject: Subject, effort: Effort, matmul_tflops: dict[str, float]) -> Iterator[Row]:
    """Measure encoding one slice in turns with segment-anything's own encoder."""
    raster, fast, plain = subject.raster(), subject.fast, subject.plain
    kept: dict[str, Any] = {}

    def encode(name: str, model: Any) -> None:
        kept[name] = model.encode(raster)

    times = race(
        {"fast": lambda: encode("fast", fast), "plain": lambda: encode("plain", plain)}, effort, subject.device
    )
    name, device = subject.name, subject.device
    row = Row.of_times(f"encoder, {fast.precision}", name, device, times["fast"], times["plain"])
    yield row
    yield from _rates(subject, row, matmul_tflops)
    cosine = embedding_cosine(kept["fast"], kept["plain"])
    yield Row(
        f"encoder, embedding cosine to float32 ({subject.weights} weights)", name, device, cosine, "", 1.0, cosine
    )
    if device != "cpu":
        yield _batched(subject, effort)


def _rates(subject: Subject, row: Row, matmul_tflops: dict[str, float]) -> Iterator[Row]:
    """Derive slices per second, TFLOP/s and the share of the measured matmul rate."""
    rate, runs = 1e3 / row.value, row.runs
    plain_rate = None if row.baseline is None else 1e3 / row.baseline
    yield Row("encoder, rate", subject.name, row.device, rate, "slices/s", plain_rate, row.ratio, runs)
    tflop = encoder_tflop(subject.plain)
    plain_tflops = None if plain_rate is None else tflop * plain_rate
    yield Row("encoder, arithmetic", subject.name, row.device, tflop * rate, "TFLOP/s", plain_tflops, row.ratio, runs)
    machine = matmul_tflops.get(subject.fast.precision)
    if machine:
        share = tflop * rate / machine
        yield Row("encoder, share of the measured matmul rate", subject.name, row.device, share, "", runs=runs)


def _batched(subject: Subject, effort: Effort) -> Row:
    rasters = np.repeat(subject.raster(), _GPU_BATCH, 0)
    times = race({"fast": lambda: subject.fast.encode(rasters)}, effort, subject.device)["fast"]
    per_slice = [value / _GPU_BATCH for value in times]
    return Row.of_times(f"encoder, batch of {_GPU_BATCH}, per slice", subject.name, subject.device, per_slice)
