"""From the features of a slice to its anomaly map, with the bank and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..config import Config
from ..protocols import PatchSearcher
from .anomaly_map import anomaly_map, normalize_map, patch_scores
from .features import EncodedSlice, foreground_patches


@dataclass(frozen=True)
class SliceMap:
    """The anomaly map of one slice over the square frame.

    Attributes:
        values: float32 (256, 256) in the preset's unit.
        normalized: float32 (256, 256) in [0, 1], the weights of the prompts.
        image_score: one number for the slice, larger = more unusual.
    """

    values: FloatArray
    normalized: FloatArray
    image_score: float


def search_slice(encoded: EncodedSlice, bank: PatchSearcher, kind: str, config: Config) -> FloatArray:
    """Return squared distances (N,) of a slice's patches; 0 where a patch lies outside the foreground."""
    rows = encoded.features[kind]
    if not config.foreground_only:
        return bank.search(kind, rows)
    wanted = foreground_patches(encoded.foreground, config)
    distances = np.zeros(len(rows), np.float32)
    if wanted.any():
        distances[wanted] = bank.search(kind, rows[wanted])
    return distances


def map_slice(encoded: EncodedSlice, bank: PatchSearcher, config: Config) -> SliceMap:
    """Score a slice as the paper does: distances of the first feature kind, smoothed, min-max by itself."""
    distances = search_slice(encoded, bank, config.features[0], config)
    scores = patch_scores(distances, config)
    values = anomaly_map(scores, config)
    normalized = normalize_map(_within(values, encoded.foreground, config))
    return SliceMap(values, normalized, float(scores.max(initial=0.0)))


def _within(values: FloatArray, foreground: BoolArray, config: Config) -> FloatArray:
    if not config.foreground_only or not foreground.any():
        return values
    return np.where(foreground, values, values[foreground].min())
