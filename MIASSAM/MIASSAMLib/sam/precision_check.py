"""Check once per checkpoint and device that reduced precision gives the float32 embedding."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from ..arrays import FloatArray
from ..errors import UsageError
from ..files import write_text
from .registry import checkpoint_cache_folder

LEAST_COSINE = 0.9999
"""Cosine between the reduced and the float32 embedding under which float32 is used instead."""

_LOG = logging.getLogger(__name__)


def probe_raster(side_px: int) -> FloatArray:
    """Return a grey raster (1, S, S): an organ with texture, a bright and a dark spot, black round it."""
    rows, columns = np.mgrid[0:side_px, 0:side_px] / side_px - 0.5
    organ = np.hypot(columns, 1.2 * rows) < 0.38
    raster = 0.35 * organ * (1 + 0.2 * np.sin(40 * columns) * np.sin(31 * rows))
    raster += 0.45 * (np.hypot(columns - 0.1, rows + 0.05) < 0.06) - 0.2 * (np.hypot(columns + 0.12, rows) < 0.05)
    noise = np.random.default_rng(0).normal(0, 0.02, raster.shape) * organ
    return np.asarray(np.clip(raster + noise, 0, 1), np.float32)[None]


def embedding_cosine(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the cosine between two sets of embeddings, all numbers together."""
    return float(F.cosine_similarity(first.double().flatten().cpu(), second.double().flatten().cpu(), 0))


def is_precision_good(key: dict[str, str], measure: Callable[[], float]) -> bool:
    """Tell whether a precision passed, measuring it only the first time on this machine.

    Args:
        key: what the verdict depends on: digest, device, precision, torch version.
        measure: returns the embedding cosine against float32.
    """
    path = _record_path(key)
    cosine = _recorded_cosine(path, key)
    if cosine is None:
        cosine = measure()
        with suppress(OSError, UsageError):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"key": key, "cosine": cosine}))
    if cosine < LEAST_COSINE:
        _LOG.warning(
            "%s gives embedding cosine %.6f against float32 (wanted %g); float32 is used",
            key["precision"],
            cosine,
            LEAST_COSINE,
        )
    return cosine >= LEAST_COSINE


def _record_path(key: dict[str, str]) -> Path:
    name = "-".join(word.replace(":", "_").replace(" ", "_") for word in (key["digest"][:16], key["precision"]))
    return checkpoint_cache_folder() / "precision" / f"{name}.json"


def _recorded_cosine(path: Path, key: dict[str, str]) -> float | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if record["key"] == key:
            return float(record["cosine"])
    return None
