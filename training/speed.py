"""How long one slice takes, and how large the model is."""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from MIASSAMLib.sam.embedded import EmbeddedSam


def measure_speed(model: EmbeddedSam, weights: Path, repeats: int = 20) -> dict[str, float]:
    """Return the median seconds of encoder and decoder for one slice and one click, and the size."""
    raster = torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(0))
    embedding = model.encode(raster)[0]
    point, label = torch.full((1, 1, 2), 500.0), torch.ones(1, 1)
    return {
        "encoder_s": _median(lambda: model.encode(raster), repeats),
        "decoder_s": _median(lambda: model.decode(embedding, point, label), repeats),
        "threads": torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "megabytes": weights.stat().st_size / 1e6,
    }


def _median(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
