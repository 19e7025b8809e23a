"""Calibrate a bank: what held-out normal slices look like to it (cross-fit by volume)."""

from __future__ import annotations

import hashlib
import heapq
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..bank import BankWriter, StoredPart
from ..config import Config, RefinedConfig
from ..errors import BankError
from ..files import replacing
from ..protocols import Progress
from .calibrated import (
    PatchDistances,
    fused_scores,
    slice_extremes,
    smooth_map,
    standardize,
)
from .features import EncodedSlice, foreground_patches
from .normal_scale import NormalDistances, choose_grid, fit_scale
from .patches import patch_places


def held_out_rank(source: str, index: int, config: Config) -> str:
    """Return the seeded place of a slice in the draw of held-out slices: the smallest are kept."""
    return hashlib.sha256(f"{config.seed}\n{source}\n{index}".encode()).hexdigest()[:16]


class HeldOutSlices:
    """A seeded sample of the slices of a build, kept on disk with all their patch features.

    Which slices are kept depends on their names and the seed only, so that a build that is killed
    and resumed keeps the same ones. Without a config that is calibrated none are kept.
    """

    def __init__(self, building: Path, config: Config | None) -> None:
        self._folder = building / "held_out"
        self._config = config
        self._kept: list[tuple[int, str]] = []
        if isinstance(config, RefinedConfig):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._kept = [(-int(path.stem[:16], 16), path.name) for path in self.files()]
            heapq.heapify(self._kept)

    def files(self) -> list[Path]:
        """Return the kept slices, in the order of their hashes."""
        return sorted(self._folder.glob("*.npz"))

    def offer(self, source: str, encoded: EncodedSlice) -> None:
        """Keep a slice if it is among the `held_out_slices` of smallest hash so far."""
        if not isinstance(self._config, RefinedConfig):
            return
        name = held_out_rank(source, encoded.index, self._config) + ".npz"
        rank = -int(name[:16], 16)
        if any(kept == name for _, kept in self._kept):
            return
        if len(self._kept) >= self._config.held_out_slices:
            if rank < self._kept[0][0]:
                return
            _, dropped = heapq.heappop(self._kept)
            (self._folder / dropped).unlink(missing_ok=True)
        self._save(self._folder / name, source, encoded)
        heapq.heappush(self._kept, (rank, name))

    def _save(self, path: Path, source: str, encoded: EncodedSlice) -> None:
        assert encoded.brightness is not None
        arrays: dict[str, Any] = {f"feature_{kind}": rows for kind, rows in encoded.features.items()}
        arrays |= {"source": source, "index": encoded.index, "foreground": encoded.foreground}
        arrays |= {"depth": encoded.depth, "brightness": encoded.brightness, "pixel_mm": encoded.pixel_mm}
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)


@dataclass(frozen=True)
class HeldOutDistances:
    """One held-out slice beside the rest of the bank, and its smoothed brightness (256, 256)."""

    patches: PatchDistances
    foreground: BoolArray
    brightness: FloatArray
    source: str
    index: int
    pixel_mm: float

    def normal(self, kind: str) -> NormalDistances:
        """Return the distances of its foreground patches."""
        wanted = self.patches.wanted
        values = np.sqrt(np.maximum(self.patches.squared[kind][wanted].astype(np.float64), 0))
        return NormalDistances(values, self.patches.places[wanted], self.patches.depth, self.source)


def calibrate(
    writer: BankWriter, held_out: HeldOutSlices, config: RefinedConfig, progress: Progress
) -> dict[str, AnyArray]:
    """Measure the held-out slices against the rows of the other volumes.

    Returns the arrays of `calibration.npz`: per feature kind the mean and spread of the distance, pooled or by place,
    the spread of the fused map, and the clusters of every held-out slice with its volume, depth and pixel size.
    """
    files = held_out.files()
    parts = writer.parts()
    measured = []
    for done, path in enumerate(files, 1):
        if distances := _measure(writer, parts, path, config):
            measured.append(distances)
        progress("calibrating on held-out normal slices", done, len(files))
    if not measured:
        raise BankError(
            "no normal slice could be held out to calibrate on; give more normal slices, "
            "or build with --preset paper, which needs no calibration"
        )
    return summarize(measured, config)


def _measure(
    writer: BankWriter, parts: list[StoredPart], path: Path, config: RefinedConfig
) -> HeldOutDistances | None:
    with np.load(path, allow_pickle=False) as data:
        source, index, depth = str(data["source"]), int(data["index"]), float(data["depth"])
        features = {kind: np.asarray(data[f"feature_{kind}"]) for kind in config.features}
        foreground, brightness = np.asarray(data["foreground"]), np.asarray(data["brightness"])
        pixel_mm = float(data["pixel_mm"])
    excluded = excluded_parts(parts, source, index, config.held_out_gap)
    wanted = foreground_patches(foreground, config)
    if all(excluded) or not wanted.any():
        return None
    squared = {}
    for kind, rows in features.items():
        squared[kind] = np.zeros(len(rows), np.float32)
        squared[kind][wanted] = writer.search_excluding(kind, rows[wanted], excluded)
    patches = PatchDistances(squared, wanted, patch_places(foreground), depth)
    return HeldOutDistances(patches, foreground, brightness, source, index, pixel_mm)


def excluded_parts(parts: list[StoredPart], source: str, index: int, gap: int) -> list[bool]:
    """Return which parts of a bank a held-out slice must not be compared with: its own volume's.

    In a bank of one volume, the slice itself and its neighbors: the spread between patients stays
    unknown then, so that such a bank takes too much for unusual.
    """
    if len({part.source for part in parts}) > 1:
        return [part.source == source for part in parts]
    return [part.part is None or abs(part.part - index) <= gap for part in parts]


def summarize(measured: list[HeldOutDistances], config: RefinedConfig) -> dict[str, AnyArray]:
    """Return the arrays of `calibration.npz` from the distances of held-out slices."""
    by_kind = {kind: [item.normal(kind) for item in measured] for kind in config.features}
    grid = choose_grid(list(by_kind.values()), config.per_position)
    scales = {kind: fit_scale(normal, grid) for kind, normal in by_kind.items()}
    smoothed = [smooth_map(fused_scores(item.patches, scales, config), config) for item in measured]
    fused, by_features = _map_arrays(smoothed, measured, config)
    brightness, by_brightness = _map_arrays([item.brightness for item in measured], measured, config)
    names = sorted({item.source for item in measured})
    return {
        **{f"kind_{kind}": scale.to_array() for kind, scale in scales.items()},
        "fused": fused,
        **by_features,
        "brightness": brightness,
        **{f"flair_{name}": array for name, array in by_brightness.items()},
        "slice_volume": np.array([names.index(item.source) for item in measured]),
        "slice_index": np.array([item.index for item in measured]),
        "slice_depth": np.array([item.patches.depth for item in measured]),
        "slice_pixel_mm": np.array([item.pixel_mm for item in measured]),
    }


def _map_arrays(
    maps: list[FloatArray], measured: list[HeldOutDistances], config: RefinedConfig
) -> tuple[AnyArray, dict[str, AnyArray]]:
    """Return mean and spread of normal maps inside the foreground, and their level, peaks and masses."""
    pairs = list(zip(maps, (item.foreground for item in measured), strict=True))
    inside = np.concatenate([values[foreground] for values, foreground in pairs]).astype(np.float64)
    mean, spread = float(inside.mean()), max(float(inside.std()), 1e-6)
    level = float(np.quantile((inside - mean) / spread, config.level_quantile))
    extremes = [slice_extremes(standardize(values, foreground, (mean, spread)), level) for values, foreground in pairs]
    return np.array([mean, spread]), {
        "level": np.array(level),
        "slice_peaks": np.array([peak for peak, _ in extremes]),
        "slice_masses": np.array([mass for _, mass in extremes]),
    }
