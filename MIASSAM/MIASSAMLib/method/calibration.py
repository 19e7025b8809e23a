"""Maps and slice scores calibrated on held-out normal slices: nothing is fitted on the volume under test.

A patch's L2 distance to normal becomes a z score among held-out normal patches of the same feature kind; the z scores
of the kinds are added with stated weights only after that, since each kind alone fails on one modality (intensity on
OCT, structure on FLAIR). The smoothed sum is standardized again, so the map's unit is "standard deviations above
normal".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import RefinedConfig
from ..errors import InputError, UsageError
from ..protocols import PatchSearcher
from .anomaly_map import anomaly_map
from .features import EncodedSlice, foreground_patches, search_slice
from .normal_law import NormalDistances, NormalExtremes, NormalScale, choose_grid, fit_scale
from .patches import patch_places

OUTSIDE = -1.0
"""Map value outside the foreground: below every normal tissue."""
_PIXEL_TOLERANCE = 1.5


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


@dataclass(frozen=True)
class HeldOutDistances:
    """One held-out slice beside the rest of the bank, and its maps (256, 256) that need no bank."""

    patches: PatchDistances
    foreground: BoolArray
    contrasts: Mapping[str, FloatArray]
    source: str
    index: int
    pixel_mm: float

    def normal(self, kind: str) -> NormalDistances:
        """Return the distances of its foreground patches."""
        wanted = self.patches.wanted
        values = np.sqrt(np.maximum(self.patches.squared[kind][wanted].astype(np.float64), 0))
        return NormalDistances(values, self.patches.places[wanted], self.patches.depth, self.source)


def measure_parts(values: FloatArray, labels: AnyArray, count: int, level: float) -> tuple[DoubleArray, DoubleArray]:
    """Return the highest value of each part of a map and its mass: the sum of what lies above the level, (count,)."""
    if not count:
        return np.zeros(0), np.zeros(0)
    numbers = np.arange(1, count + 1)
    masses = ndimage.sum_labels(np.maximum(values - level, 0), labels, numbers)
    return np.asarray(ndimage.maximum(values, labels, numbers), np.float64), np.asarray(masses, np.float64)


def slice_extremes(values: FloatArray, level: float) -> tuple[float, float]:
    """Return the log1p of the highest peak and of the heaviest mass among a map's clusters."""
    labels, count = ndimage.label(values > level)
    peaks, masses = measure_parts(values, labels, count, level)
    return float(np.log1p(peaks.max(initial=0))), float(np.log1p(masses.max(initial=0)))


@dataclass(frozen=True)
class MapLaw:
    """How a kind of map looks on normal slices.

    Attributes:
        mean, spread: of its values inside the foreground, before standardizing.
        level: the standardized value that `1 - level_quantile` of normal tissue exceeds; it forms clusters.
        extremes: the highest and the heaviest cluster of each held-out slice.
    """

    mean: float
    spread: float
    level: float
    extremes: NormalExtremes

    @classmethod
    def fit(cls, maps: Sequence[FloatArray], measured: Sequence[HeldOutDistances], config: RefinedConfig) -> MapLaw:
        """Measure normal maps (256, 256) and their clusters."""
        foregrounds = [item.foreground for item in measured]
        inside = np.concatenate([values[where] for values, where in zip(maps, foregrounds, strict=True)])
        mean, spread = float(inside.mean(dtype=np.float64)), max(float(inside.std(dtype=np.float64)), 1e-6)
        level = float(np.quantile((inside.astype(np.float64) - mean) / spread, config.level_quantile))
        law = cls(mean, spread, level, NormalExtremes(np.zeros(0), np.zeros(0), np.zeros(0), config))
        pairs = zip(maps, foregrounds, strict=True)
        extremes = np.array([slice_extremes(law.standardize(values, where), level) for values, where in pairs])
        depths = np.array([item.patches.depth for item in measured])
        return cls(mean, spread, level, NormalExtremes(extremes[:, 0], extremes[:, 1], depths, config))

    def standardize(self, values: FloatArray, foreground: BoolArray) -> FloatArray:
        """Return a map in standard deviations above normal; OUTSIDE beyond the foreground."""
        return np.where(foreground, (values - self.mean) / self.spread, OUTSIDE).astype(np.float32)


class Calibration:
    """What held-out normal slices look like to a bank: fitted when it is built, applied to every volume.

    Attributes:
        config: the preset.
        scales_: feature kind -> mean and spread of the patches' L2 distance, pooled or by place.
        laws_: the law of each kind of map: of fused z scores (`features`), of `brightness`, and in OCT of `fluid`.
        pixels_mm_: smallest and largest pixel of the held-out slices; None for banks that do not tell.
    """

    def __init__(self, config: RefinedConfig) -> None:
        self.config = config
        self.scales_: dict[str, NormalScale] = {}
        self.laws_: dict[str, MapLaw] = {}
        self.pixels_mm_: tuple[float, float] | None = None

    @classmethod
    def fit(cls, measured: Sequence[HeldOutDistances], config: RefinedConfig) -> Calibration:
        """Measure held-out slices beside the rest of a bank."""
        self = cls(config)
        by_kind = {kind: [item.normal(kind) for item in measured] for kind in config.features}
        grid = choose_grid(list(by_kind.values()), config)
        self.scales_ = {kind: fit_scale(normal, grid, config) for kind, normal in by_kind.items()}
        self.laws_["features"] = MapLaw.fit([self._fused(item.patches) for item in measured], measured, config)
        for name in set.intersection(*(set(item.contrasts) for item in measured)):
            self.laws_[name] = MapLaw.fit([item.contrasts[name] for item in measured], measured, config)
        pixels = [item.pixel_mm for item in measured]
        self.pixels_mm_ = (min(pixels), max(pixels)) if pixels and min(pixels) > 0 else None
        return self

    def to_arrays(self) -> dict[str, AnyArray]:
        """Return the arrays of `calibration.npz`."""
        arrays = {f"kind_{kind}": scale.to_array() for kind, scale in self.scales_.items()}
        for name, law in self.laws_.items():
            arrays[f"{name}_law"] = np.array([law.mean, law.spread, law.level])
            arrays[f"{name}_peaks"], arrays[f"{name}_masses"] = law.extremes.peaks, law.extremes.masses
        arrays["slice_depth"] = self.laws_["features"].extremes.depths
        return {**arrays, "pixels_mm": np.array(self.pixels_mm_ or (0.0, 0.0))}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, AnyArray], config: RefinedConfig) -> Calibration:
        """Read what `to_arrays` returned.

        Raises:
            UsageError: an array is missing or has another shape.
        """
        self = cls(config)
        names = [name.removeprefix("kind_") for name in arrays if name.startswith("kind_")]
        if odd := [name for name, array in arrays.items() if not _has_its_shape(name, array, arrays)]:
            raise UsageError(f"the bank's calibration has another shape in {', '.join(odd)}; build the bank again")
        try:
            self.scales_ = {name: NormalScale.from_array(arrays[f"kind_{name}"]) for name in names}
            laws = {"features", "brightness", *(name[:-4] for name in arrays if name.endswith("_law"))}
            self.laws_ = {name: _read_law(arrays, name, config) for name in sorted(laws)}
            low, high = (float(value) for value in arrays["pixels_mm"])
        except KeyError as error:
            raise UsageError(f"the bank's calibration lacks {error}; build the bank again") from error
        self.pixels_mm_ = (low, high) if low > 0 else None
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of map that count: what is unusual on either of them is."""
        if self.config.contrast == "flair":
            return ("brightness",)
        return ("features", "fluid") if "fluid" in self.laws_ and not self.config.contrast else ("features",)

    @property
    def level(self) -> float:
        """Map value that few normal tissue exceeds; it forms clusters."""
        return self.laws_[self.kinds[0]].level

    def maps(self, encoded: EncodedSlice, bank: PatchSearcher | None) -> FloatArray:
        """Return the z-maps of a slice (kinds, 256, 256); OUTSIDE beyond the foreground.

        Where two kinds count, the second is stretched so that as much of normal tissue exceeds the same level.

        Raises:
            InputError: the bank was calibrated on B-scans of OCT and this slice is none.
        """
        if missing := set(self.kinds) - {"features", *encoded.contrasts}:
            raise InputError(
                f"the bank was calibrated on B-scans of OCT and this volume has no map of {', '.join(missing)}; "
                "choose a bank of its kind, or give --modality oct if it was taken wrongly"
            )
        maps = []
        for kind in self.kinds:
            values = self._features(encoded, bank) if kind == "features" else encoded.contrasts[kind]
            maps.append(self.laws_[kind].standardize(values, encoded.foreground))
            maps[-1][encoded.foreground] *= self._stretch(kind)
        return np.stack(maps)

    def tails(self, maps: FloatArray, labels: AnyArray, count: int, depth: float) -> list[float]:
        """Return how rare each part of a slice's maps (kinds, 256, 256) is among normal slices of its depth.

        Where two kinds count, each may make its share of the false alarms. labels: int (256, 256), 1 to count.
        """
        found = []
        for kind, values in zip(self.kinds, maps, strict=True):
            law = self.laws_[kind]
            parts = measure_parts(values / np.float32(self._stretch(kind)), labels, count, law.level)
            share = self._share(kind)
            tails = (law.extremes.tail_probability(*pair, depth) for pair in zip(*parts, strict=True))
            found.append([tail / max(share, 1e-9) for tail in tails])
        return [min(1.0, *each) for each in zip(*found, strict=True)]

    def is_sharp(self, maps: FloatArray, cluster: BoolArray) -> bool:
        """Tell whether the map that shows most of a cluster is as sharp as the image; that of features is not."""
        shown = np.bincount(maps[:, cluster].argmax(0), minlength=len(self.kinds))
        return self.kinds[int(shown.argmax())] != "features"

    def _share(self, kind: str) -> float:
        """Return the share of the false alarms that a kind of map may make."""
        if len(self.kinds) == 1:
            return 1.0
        return self.config.fluid_share if kind == "fluid" else 1 - self.config.fluid_share

    def _stretch(self, kind: str) -> float:
        return self.level / max(self.laws_[kind].level, 1e-3) if kind != self.kinds[0] else 1.0

    def pixel_note(self, pixel_mm: float) -> tuple[str, ...]:
        """Return a warning when pixels are much coarser or finer than the bank's: blur alone looks unusual then."""
        if self.pixels_mm_ is None:
            return ()
        low, high = self.pixels_mm_
        if low / _PIXEL_TOLERANCE <= pixel_mm <= high * _PIXEL_TOLERANCE:
            return ()
        known = f"{low:.2g} mm" if f"{low:.2g}" == f"{high:.2g}" else f"{low:.2g} to {high:.2g} mm"
        return (
            f"pixels of {pixel_mm:.2g} mm, but the bank knows {known}: finer or coarser detail may be marked as "
            "unusual; use a bank of scans like this one",
        )

    def _features(self, encoded: EncodedSlice, bank: PatchSearcher | None) -> FloatArray:
        """Return the map (256, 256) of a slice's patches beside a bank."""
        assert bank is not None
        squared = {kind: search_slice(encoded, bank, kind, self.config) for kind in self.config.features}
        wanted, places = foreground_patches(encoded.foreground, self.config), patch_places(encoded.foreground)
        return self._fused(PatchDistances(squared, wanted, places, encoded.depth))

    def _fused(self, patches: PatchDistances) -> FloatArray:
        """Return the smoothed map (256, 256) of the weighted sum of the z scores of each feature kind."""
        total = np.zeros(len(patches.wanted), np.float64)
        for kind, weight in zip(self.config.features, self.config.fusion_weights, strict=True):
            distances = np.sqrt(np.maximum(patches.squared[kind], 0))
            total += weight * self.scales_[kind].z_scores(distances, patches.places, patches.depth)
        return anomaly_map(np.where(patches.wanted, total, 0).astype(np.float32), self.config)


def _has_its_shape(name: str, array: AnyArray, arrays: Mapping[str, AnyArray]) -> bool:
    """Tell whether an array is shaped as `to_arrays` shapes it; a spread is never 0."""
    if name.startswith("kind_"):
        is_grid = array.ndim == 4 and len(array) == 2 and array.size > 0 and array.shape[2] == array.shape[3]
        return bool(is_grid and (array[1] > 0).all())
    if name.endswith("_law"):
        return array.shape == (3,) and bool(array[1] > 0)
    return array.shape == ((2,) if name == "pixels_mm" else (len(np.atleast_1d(arrays.get("slice_depth", ()))),))


def _read_law(arrays: Mapping[str, AnyArray], name: str, config: RefinedConfig) -> MapLaw:
    mean, spread, level = (float(value) for value in arrays[f"{name}_law"])
    peaks, masses = (np.asarray(arrays[f"{name}_{what}"], np.float64) for what in ("peaks", "masses"))
    depths = np.asarray(arrays["slice_depth"], np.float64)
    return MapLaw(mean, spread, level, NormalExtremes(peaks, masses, depths, config))
