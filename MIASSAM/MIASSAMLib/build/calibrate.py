"""Calibrate a bank: what held-out normal slices look like to it (cross-fit by volume)."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import Config
from ..errors import BankError
from ..memory_bank import BankWriter, StoredPart
from ..pipeline import EncodedSlice, foreground_patches
from ..pipeline.calibrated import LEVEL_QUANTILE, fused_scores, slice_extremes, smooth_map, standardize
from ..protocols import Progress

MAX_SLICES = 160
"""Held-out slices kept for calibration; their features rest on disk until the bank is complete."""
SINGLE_VOLUME_GAP = 2
"""In a bank of one volume a held-out slice is compared with slices more than this far away."""


class HeldOutSlices:
    """A seeded sample of the slices of a build, kept on disk with all their patch features.

    Which slices are kept depends on their names and the seed only, so that a build that is killed
    and resumed keeps the same ones.
    """

    def __init__(self, building: Path, config: Config) -> None:
        self._folder = building / "held_out"
        self._config = config
        self._kept: list[tuple[int, str]] = []
        if config.calibrated:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._kept = [(-int(path.stem[:16], 16), path.name) for path in self.files()]
            heapq.heapify(self._kept)

    def files(self) -> list[Path]:
        """Return the kept slices, in the order of their hashes."""
        return sorted(self._folder.glob("*.npz"))

    def offer(self, source: str, encoded: EncodedSlice) -> None:
        """Keep a slice if it is among the MAX_SLICES of smallest hash so far."""
        if not self._config.calibrated:
            return
        text = f"{self._config.seed}\n{source}\n{encoded.index}"
        name = hashlib.sha256(text.encode()).hexdigest()[:16] + ".npz"
        rank = -int(name[:16], 16)
        if any(kept == name for _, kept in self._kept):
            return
        if len(self._kept) >= MAX_SLICES:
            if rank < self._kept[0][0]:
                return
            _, dropped = heapq.heappop(self._kept)
            (self._folder / dropped).unlink(missing_ok=True)
        self._save(self._folder / name, source, encoded)
        heapq.heappush(self._kept, (rank, name))

    def _save(self, path: Path, source: str, encoded: EncodedSlice) -> None:
        features = {f"feature_{kind}": rows for kind, rows in encoded.features.items()}
        partial = path.with_suffix(".part")
        with partial.open("wb") as file:
            np.savez(file, source=source, index=encoded.index, foreground=encoded.foreground, **features)
        partial.replace(path)


@dataclass(frozen=True)
class HeldOutDistances:
    """One held-out slice against the rest of the bank: squared distances (N,) by kind."""

    squared: Mapping[str, FloatArray]
    foreground: BoolArray
    wanted: BoolArray
    source: str
    index: int


def calibrate(writer: BankWriter, held_out: HeldOutSlices, config: Config, progress: Progress) -> dict[str, AnyArray]:
    """Measure the held-out slices against the rows of the other volumes.

    Returns the arrays of `calibration.npz`: per feature kind the mean and spread of the log
    distance, the spread of the fused map, and the score of every held-out slice with its volume.
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


def _measure(writer: BankWriter, parts: list[StoredPart], path: Path, config: Config) -> HeldOutDistances | None:
    with np.load(path, allow_pickle=False) as data:
        source, index = str(data["source"]), int(data["index"])
        features = {kind: np.asarray(data[f"feature_{kind}"]) for kind in config.features}
        foreground = np.asarray(data["foreground"])
    excluded = excluded_parts(parts, source, index)
    wanted = foreground_patches(foreground, config)
    if all(excluded) or not wanted.any():
        return None
    squared = {}
    for kind, rows in features.items():
        squared[kind] = np.zeros(len(rows), np.float32)
        squared[kind][wanted] = writer.search_excluding(kind, rows[wanted], excluded)
    return HeldOutDistances(squared, foreground, wanted, source, index)


def excluded_parts(parts: list[StoredPart], source: str, index: int) -> list[bool]:
    """Return which parts of a bank a held-out slice must not be compared with: its own volume's.

    In a bank of one volume, the slice itself and its neighbors: the spread between patients stays
    unknown then, so that such a bank takes too much for unusual.
    """
    if len({part.source for part in parts}) > 1:
        return [part.source == source for part in parts]
    return [part.part is None or abs(part.part - index) <= SINGLE_VOLUME_GAP for part in parts]


def summarize(measured: list[HeldOutDistances], config: Config) -> dict[str, AnyArray]:
    """Return the arrays of `calibration.npz` from the distances of held-out slices."""
    scales = {}
    for kind in config.features:
        distances = np.sqrt(np.concatenate([item.squared[kind][item.wanted] for item in measured]))
        scales[kind] = (float(distances.mean()), max(float(distances.std()), 1e-6))
    smoothed = [smooth_map(fused_scores(item.squared, scales, item.wanted, config), config) for item in measured]
    inside = np.concatenate([values[item.foreground] for values, item in zip(smoothed, measured, strict=True)])
    fused = (float(inside.mean()), max(float(inside.std()), 1e-6))
    level = float(np.quantile((inside - fused[0]) / fused[1], LEVEL_QUANTILE))
    extremes = [
        slice_extremes(standardize(values, item.foreground, fused), level)
        for values, item in zip(smoothed, measured, strict=True)
    ]
    names = sorted({item.source for item in measured})
    return {
        **{f"kind_{kind}": np.array(scale) for kind, scale in scales.items()},
        "fused": np.array(fused),
        "level": np.array(level),
        "slice_peaks": np.array([peak for peak, _ in extremes]),
        "slice_masses": np.array([mass for _, mass in extremes]),
        "slice_volume": np.array([names.index(item.source) for item in measured]),
        "slice_index": np.array([item.index for item in measured]),
    }
