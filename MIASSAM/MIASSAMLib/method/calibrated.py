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

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import Config, Contrast, RefinedConfig
from ..errors import UsageError
from ..protocols import PatchSearcher
from .anomaly_map import anomaly_map
from .features import EncodedSlice, foreground_patches, search_slice
from .normal_scale import NormalScale
from .normal_tail import NormalExtremes
from .patches import patch_places

OUTSIDE = -1.0
"""Map value outside the foreground: below every normal tissue."""
_PIXEL_TOLERANCE = 1.5


@dataclass(frozen=True)
class Calibration:
    """What held-out normal slices look like to a bank.

    Attributes:
        kinds: feature kind -> mean and spread of the patches' L2 distance, pooled or by place.
        fused: (mean, spread) of the smoothed sum of z scores inside the foreground.
        level: map value that 2.5 % of normal tissue exceeds.
        extremes: the highest and the heaviest cluster of each held-out slice.
        brightness: (mean, spread) of the brightness of normal foreground when the map is that of brightness.
        pixels_mm: smallest and largest pixel of the held-out slices; None for banks that do not tell.
    """

    kinds: Mapping[str, NormalScale]
    fused: tuple[float, float]
    level: float
    extremes: NormalExtremes
    brightness: tuple[float, float] | None = None
    pixels_mm: tuple[float, float] | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray], contrast: Contrast = "") -> Calibration:
        """Read the arrays of `calibration.npz`, those of the brightness map for a contrast with bright lesions.

        Raises:
            UsageError: the bank was built without them.
        """
        if contrast and f"{contrast}_level" not in arrays:
            raise UsageError(f"the bank holds no calibration for --contrast {contrast}; build it again")
        prefix = f"{contrast}_" if contrast else ""
        names = [name.removeprefix("kind_") for name in arrays if name.startswith("kind_")]
        return cls(
            {name: NormalScale.from_array(arrays[f"kind_{name}"]) for name in names},
            (float(arrays["fused"][0]), float(arrays["fused"][1])),
            float(arrays[f"{prefix}level"]),
            NormalExtremes(
                peaks := np.asarray(arrays[f"{prefix}slice_peaks"], np.float64),
                np.asarray(arrays[f"{prefix}slice_masses"], np.float64),
                np.asarray(arrays.get("slice_depth", np.zeros(len(peaks))), np.float64),
            ),
            (float(arrays["brightness"][0]), float(arrays["brightness"][1])) if contrast else None,
            _range_of(arrays.get("slice_pixel_mm", np.zeros(0))),
        )

    def pixel_note(self, pixel_mm: float) -> tuple[str, ...]:
        """Return a warning when pixels are much coarser or finer than the bank's: blur alone looks unusual then."""
        if self.pixels_mm is None:
            return ()
        low, high = self.pixels_mm
        if low / _PIXEL_TOLERANCE <= pixel_mm <= high * _PIXEL_TOLERANCE:
            return ()
        known = f"{low:.2g} mm" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g} mm"
        return (
            f"pixels of {pixel_mm:.2g} mm, but the bank knows {known}: finer or coarser detail may be marked as "
            "unusual; use a bank of scans like this one",
        )


def _range_of(values: AnyArray) -> tuple[float, float] | None:
    return (float(values.min()), float(values.max())) if len(values) and values.min() > 0 else None


@dataclass(frozen=True)
class PatchDistances:
    """The patches of one slice beside a bank.

    Attributes:
        squared: feature kind -> squared L2 distance (N,).
        wanted: patches that touch the foreground, bool (N,).
        places: where each lies in the box round the foreground (N, 2).
        depth: where the slice lies in the volume, 0 to 1.
    """

    squared: Mapping[str, FloatArray]
    wanted: BoolArray
    places: FloatArray
    depth: float


def fused_scores(patches: PatchDistances, scales: Mapping[str, NormalScale], config: RefinedConfig) -> FloatArray:
    """Return the weighted sum (N,) of the z scores of each feature kind; 0 outside the foreground."""
    total = np.zeros(len(patches.wanted), np.float64)
    for kind, weight in zip(config.features, config.fusion_weights, strict=True):
        distances = np.sqrt(np.maximum(patches.squared[kind], 0))
        total += weight * scales[kind].z_scores(distances, patches.places, patches.depth)
    return np.where(patches.wanted, total, 0).astype(np.float32)


def smooth_map(scores: FloatArray, config: Config) -> FloatArray:
    """Return the smoothed map of fused scores, not yet standardized."""
    return anomaly_map(scores, config)


def standardize(values: FloatArray, foreground: BoolArray, fused: tuple[float, float]) -> FloatArray:
    """Return the map in standard deviations above normal; OUTSIDE beyond the foreground."""
    mean, spread = fused
    return np.where(foreground, (values - mean) / spread, OUTSIDE).astype(np.float32)


def measure_patches(encoded: EncodedSlice, squared: Mapping[str, FloatArray], config: Config) -> PatchDistances:
    """Say where the patches of a slice lie, beside how far they are from normal."""
    wanted = foreground_patches(encoded.foreground, config)
    return PatchDistances(squared, wanted, patch_places(encoded.foreground), encoded.depth)


@dataclass(frozen=True)
class Clusters:
    """The connected parts of a map above the cluster-forming level.

    Attributes:
        labels: int (256, 256), from 1; 0 = none.
        peaks: highest map value of each.
        masses: sum of what lies above the level in each, in px of the 256 map.
    """

    labels: AnyArray
    peaks: DoubleArray
    masses: DoubleArray


def find_parts(values: FloatArray, level: float) -> Clusters:
    """Return the clusters of a map."""
    labels, count = ndimage.label(values > level)
    if not count:
        return Clusters(labels, np.zeros(0), np.zeros(0))
    numbers = np.arange(1, count + 1)
    peaks = np.asarray(ndimage.maximum(values, labels, numbers), np.float64)
    return Clusters(labels, peaks, np.asarray(ndimage.sum_labels(values - level, labels, numbers), np.float64))


def slice_extremes(values: FloatArray, level: float) -> tuple[float, float]:
    """Return the log1p of the highest peak and of the heaviest mass among a map's clusters."""
    parts = find_parts(values, level)
    return float(np.log1p(parts.peaks.max(initial=0))), float(np.log1p(parts.masses.max(initial=0)))


def surprise(values: FloatArray, calibration: Calibration, depth: float) -> float:
    """Return the score of a slice at a depth (0 to 1): -log10 of the tail probability of its rarest cluster."""
    parts = find_parts(values, calibration.level)
    pairs = zip(parts.peaks, parts.masses, strict=True)
    tails = [calibration.extremes.tail_probability(peak, mass, depth) for peak, mass in pairs]
    return float(-np.log10(max(min(tails, default=1.0), 1e-30)))


def map_calibrated(
    encoded: EncodedSlice, bank: PatchSearcher, calibration: Calibration, config: RefinedConfig
) -> FloatArray:
    """Return the z-map (256, 256) of a slice; OUTSIDE beyond the foreground."""
    if calibration.brightness is not None:
        assert encoded.brightness is not None
        return standardize(encoded.brightness, encoded.foreground, calibration.brightness)
    squared = {kind: search_slice(encoded, bank, kind, config) for kind in config.features}
    patches = measure_patches(encoded, squared, config)
    return standardize(
        smooth_map(fused_scores(patches, calibration.kinds, config), config), encoded.foreground, calibration.fused
    )
