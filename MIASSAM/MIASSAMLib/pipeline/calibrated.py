"""Maps and slice scores calibrated on held-out normal slices: nothing is fitted on the volume under test.

A patch's L2 distance to normal becomes a z score among held-out normal patches of the same feature
kind; the z scores of the kinds are added with stated weights only after that, since each kind alone
fails on one modality (intensity on OCT, structure on FLAIR). The smoothed sum is standardized
again, so the map's unit is "standard deviations above normal".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..anomaly_map import anomaly_map
from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import Config
from ..protocols import PatchSearcher
from .features import EncodedSlice, foreground_patches
from .scoring import SliceMap, search_slice

OUTSIDE = -1.0
"""Map value outside the foreground: below every normal tissue."""
LEVEL_QUANTILE = 0.975
"""Cluster-forming level: the map value that 2.5 % of normal tissue exceeds."""
_TAIL_QUANTILE = 0.8


@dataclass(frozen=True)
class Calibration:
    """What held-out normal slices look like to a bank.

    Attributes:
        kinds: feature kind -> (mean, spread) of the patches' L2 distance.
        fused: (mean, spread) of the smoothed sum of z scores inside the foreground.
        level: map value that 2.5 % of normal tissue exceeds.
        slice_scores: score of each held-out slice, sorted.
    """

    kinds: Mapping[str, tuple[float, float]]
    fused: tuple[float, float]
    level: float
    slice_scores: DoubleArray

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray]) -> Calibration:
        """Read the arrays of `calibration.npz`."""
        names = [name.removeprefix("kind_") for name in arrays if name.startswith("kind_")]
        return cls(
            {name: (float(arrays[f"kind_{name}"][0]), float(arrays[f"kind_{name}"][1])) for name in names},
            (float(arrays["fused"][0]), float(arrays["fused"][1])),
            float(arrays["level"]),
            np.sort(np.asarray(arrays["slice_scores"], np.float64)),
        )

    def tail_probability(self, score: float) -> float:
        """Return the share of normal slices expected to score at least this high.

        Empirical below the 80th percentile; beyond it an exponential tail fitted to the
        exceedances, so that scores above every held-out slice still rank.
        """
        scores = self.slice_scores
        if not len(scores):
            return 1.0
        start = float(np.quantile(scores, _TAIL_QUANTILE))
        if score <= start:
            return float((np.sum(scores >= score) + 1) / (len(scores) + 1))
        excess = scores[scores > start] - start
        scale = max(float(excess.mean()) if len(excess) else 0.0, 1e-6)
        return float((1 - _TAIL_QUANTILE) * np.exp(-(score - start) / scale))


def fused_scores(
    squared: Mapping[str, FloatArray], scales: Mapping[str, tuple[float, float]], wanted: BoolArray, config: Config
) -> FloatArray:
    """Return the weighted sum (N,) of the z scores of each feature kind; 0 outside the foreground."""
    total = np.zeros(len(wanted), np.float64)
    for kind, weight in zip(config.features, config.fusion_weights, strict=True):
        mean, spread = scales[kind]
        total += weight * (np.sqrt(np.maximum(squared[kind], 0)) - mean) / spread
    return np.where(wanted, total, 0).astype(np.float32)


def smooth_map(scores: FloatArray, config: Config) -> FloatArray:
    """Return the smoothed map of fused scores, not yet standardized."""
    return anomaly_map(scores, config)


def standardize(values: FloatArray, foreground: BoolArray, fused: tuple[float, float]) -> FloatArray:
    """Return the map in standard deviations above normal; OUTSIDE beyond the foreground."""
    mean, spread = fused
    return np.where(foreground, (values - mean) / spread, OUTSIDE).astype(np.float32)


def slice_score(values: FloatArray, level: float) -> float:
    """Return the score of a slice: the logarithm of its heaviest cluster's mass.

    A cluster is a connected part of the map above `level`; its mass is the sum of what lies above,
    in px of the 256 map. Mass counts both how unusual and how large a finding is: one odd pixel and
    a faint large shadow are both common among normal slices.
    """
    return float(np.log1p(cluster_masses(values, level)[1].max(initial=0.0)))


def cluster_masses(values: FloatArray, level: float) -> tuple[AnyArray, DoubleArray]:
    """Return cluster labels (256, 256), from 1, and the mass of each cluster."""
    labels, count = ndimage.label(values > level)
    if not count:
        return labels, np.zeros(0)
    masses = ndimage.sum_labels(values - level, labels, np.arange(1, count + 1))
    return labels, np.asarray(masses, np.float64)


def map_calibrated(encoded: EncodedSlice, bank: PatchSearcher, calibration: Calibration, config: Config) -> SliceMap:
    """Score a slice as a z-map; the prompts' weights are what lies above the cluster-forming level."""
    squared = {kind: search_slice(encoded, bank, kind, config) for kind in config.features}
    wanted = foreground_patches(encoded.foreground, config)
    fused = smooth_map(fused_scores(squared, calibration.kinds, wanted, config), config)
    values = standardize(fused, encoded.foreground, calibration.fused)
    weights = np.maximum(values - calibration.level, 0)
    return SliceMap(values, weights, slice_score(values, calibration.level))
