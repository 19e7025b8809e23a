"""Held-out normal slices of a build: which ones, and how far they lie from the rows of the other volumes."""

from __future__ import annotations

import hashlib
import heapq
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..bank import BankWriter, StoredPart
from ..config import Config, RefinedConfig
from ..errors import BankError
from ..files import replacing
from ..protocols import Progress
from .calibration import Calibration, HeldOutDistances, PatchDistances
from .features import EncodedSlice, foreground_patches
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
        arrays: dict[str, Any] = {f"feature_{kind}": rows for kind, rows in encoded.features.items()}
        arrays |= {"source": source, "index": encoded.index, "foreground": encoded.foreground}
        arrays |= {f"contrast_{name}": values for name, values in encoded.contrasts.items()}
        arrays |= {"depth": encoded.depth, "pixel_mm": encoded.pixel_mm}
        with replacing(path) as temporary:
            np.savez(temporary, **arrays)


def calibrate(
    writer: BankWriter, held_out: HeldOutSlices, config: RefinedConfig, progress: Progress
) -> dict[str, AnyArray]:
    """Measure the held-out slices against the rows of the other volumes.

    Returns the arrays of `calibration.npz`.

    Raises:
        BankError: there are none.
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
    return Calibration.fit(measured, config).to_arrays()


def _measure(
    writer: BankWriter, parts: list[StoredPart], path: Path, config: RefinedConfig
) -> HeldOutDistances | None:
    with np.load(path, allow_pickle=False) as data:
        source, index, depth = str(data["source"]), int(data["index"]), float(data["depth"])
        features = {kind: np.asarray(data[f"feature_{kind}"]) for kind in config.features}
        foreground = np.asarray(data["foreground"])
        contrasts = {name[9:]: np.asarray(data[name]) for name in data if name.startswith("contrast_")}
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
    return HeldOutDistances(patches, foreground, contrasts, source, index, pixel_mm)


def excluded_parts(parts: list[StoredPart], source: str, index: int, gap: int) -> list[bool]:
    """Return which parts of a bank a held-out slice must not be compared with: its own volume's.

    In a bank of one volume, the slice itself and its neighbors: the spread between patients stays
    unknown then, so that such a bank takes too much for unusual.
    """
    if len({part.source for part in parts}) > 1:
        return [part.source == source for part in parts]
    return [part.part is None or abs(part.part - index) <= gap for part in parts]
