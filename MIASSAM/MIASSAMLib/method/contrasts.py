"""Several contrasts of one patient: each is judged by its own bank, or by itself, and the calibrated maps are joined.

All maps have one unit, standard deviations above normal. Their weighted sum, in which the first contrast leads, is
divided by its own standard deviation in normal tissue, so that it has that unit as well (docs/adr/0007). A part of it
is as rare as the contrast that finds its height more usual says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import RefinedConfig
from ..protocols import PatchSearcher
from .calibration import OUTSIDE
from .features import EncodedSlice
from .judge import Judge
from .reading import Reading


class SeveralContrasts:
    """Judges a volume by several contrasts together.

    Args:
        first: what judges the volume itself; its config counts.
        others: further contrasts, each with what judges it.
    """

    def __init__(self, first: Judge, others: Sequence[tuple[Reading, Judge]]) -> None:
        self._first, self._others = first, others
        self.config: RefinedConfig = first.config
        weights = [1.0] + [self.config.contrast_weight] * len(others)
        self.level = float(np.average([judge.level for judge in self._judges], weights=weights))

    @property
    def _judges(self) -> list[Judge]:
        return [self._first, *(judge for _, judge in self._others)]

    def maps(self, encoded: EncodedSlice, bank: PatchSearcher | None) -> FloatArray:
        """Return the contrasts' maps joined (1, 256, 256); where one shows no tissue it does not count.

        encoded: the slice of the first contrast, OUTSIDE beyond its foreground.
        """
        total = self._first.maps(encoded, bank).max(0)
        sums, squares = np.ones((2, *total.shape), np.float32)
        weight, alike = np.float32(self.config.contrast_weight), np.float32(self.config.contrast_correlation)
        for reading, judge in self._others:
            there = _slice_of(reading, encoded)
            total[there.foreground] += weight * judge.maps(there, reading.bank).max(0)[there.foreground]
            sums[there.foreground] += weight
            squares[there.foreground] += weight**2
        unit = np.sqrt((1 - alike) * squares + alike * sums**2)
        return np.where(encoded.foreground, total / unit, OUTSIDE).astype(np.float32)[None]

    def tails(self, maps: FloatArray, labels: AnyArray, count: int, depth: float) -> list[float]:
        """Return for each part the largest of the contrasts' tails of its height in the mean."""
        found = [judge.tails(maps, labels, count, depth) for judge in self._judges]
        return [max(each) for each in zip(*found, strict=True)]

    def is_sharp(self, maps: FloatArray, cluster: BoolArray) -> bool:
        """Tell whether the leading map is as sharp as the image."""
        return self._first.is_sharp(maps, cluster)

    def pixel_note(self, pixel_mm: float) -> tuple[str, ...]:
        """Return what bounds the result, each said once."""
        return tuple(dict.fromkeys(note for judge in self._judges for note in judge.pixel_note(pixel_mm)))


def _slice_of(reading: Reading, encoded: EncodedSlice) -> EncodedSlice:
    """Return the same slice of another contrast; without a bank its embedding is not looked at."""
    if reading.bank is not None:
        return reading.slice(encoded.index)
    return replace(encoded, foreground=reading.prepared.foreground_map(encoded.index))
