"""Several contrasts of one patient: each is judged by its own bank, or by itself, and the calibrated maps are joined.

All maps have one unit, standard deviations above normal. Their weighted sum, in which the first contrast leads, is
divided by its own standard deviation in normal tissue, so that it has that unit as well (docs/adr/0007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import RefinedConfig
from ..protocols import PatchSearcher
from .calibration import OUTSIDE, Calibration, MapLaw, measure_parts
from .features import EncodedSlice
from .judge import Judge
from .normal_law import NormalExtremes
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
        self._weights = [1.0] + [self.config.contrast_weight] * len(others)
        self.level = float(np.average([judge.level for judge in self._judges], weights=self._weights))
        laws = [judge.laws_[judge.kinds[0]] for judge in self._judges if isinstance(judge, Calibration)]
        self._law = self._joined_law(laws) if laws else None

    @property
    def _judges(self) -> list[Judge]:
        return [self._first, *(judge for _, judge in self._others)]

    def maps(self, encoded: EncodedSlice, bank: PatchSearcher | None) -> FloatArray:
        """Return the contrasts' maps joined (1, 256, 256); where one shows no tissue it does not count.

        encoded: the slice of the first contrast, OUTSIDE beyond its foreground.
        """
        total = self._first.maps(encoded, bank).max(0)
        sums, squares = np.ones((2, *total.shape), np.float32)
        weight = np.float32(self.config.contrast_weight)
        for reading, judge in self._others:
            there = _slice_of(reading, encoded)
            total[there.foreground] += weight * judge.maps(there, reading.bank).max(0)[there.foreground]
            sums[there.foreground] += weight
            squares[there.foreground] += weight**2
        return np.where(encoded.foreground, total / self._unit(sums, squares), OUTSIDE).astype(np.float32)[None]

    def tails(self, maps: FloatArray, labels: AnyArray, count: int, depth: float) -> list[float]:
        """Return for each part how rare it is in joined maps of normal slices; without banks by its height alone."""
        if self._law is None:
            return self._first.tails(maps, labels, count, depth)
        parts = measure_parts(maps[0], labels, count, self.level)
        return [self._law.tail_probability(*part, depth) for part in zip(*parts, strict=True)]

    def _joined_law(self, laws: Sequence[MapLaw]) -> NormalExtremes:
        """Return what joined maps of normal slices hold at most, for no slice shows them all.

        The banks may come from different people. So the highest clusters of all contrasts are taken to meet on one
        slice and in one place: equal quantiles are summed, which makes rare what is rare at least.
        """
        first = laws[0].extremes
        unit = self._unit(np.sum(self._weights), np.sum(np.square(self._weights)))

        def joined(all_logs: list[DoubleArray]) -> DoubleArray:
            shares = (np.argsort(np.argsort(all_logs[0])) + 0.5) / max(1, len(all_logs[0]))
            values = [np.quantile(np.expm1(logs), shares, method="hazen") for logs in all_logs]
            return np.log1p(np.tensordot(self._weights, values, 1) / unit)

        peaks, masses = joined([law.extremes.peaks for law in laws]), joined([law.extremes.masses for law in laws])
        return NormalExtremes(peaks, masses, first.depths, self.config)

    def _unit(self, sums: AnyArray, squares: AnyArray) -> AnyArray:
        """Return the standard deviation in normal tissue of a sum with weights of these sums and sums of squares."""
        alike = np.float32(self.config.contrast_correlation)
        return np.sqrt((1 - alike) * squares + alike * sums**2)

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
