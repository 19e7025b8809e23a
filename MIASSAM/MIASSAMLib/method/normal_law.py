"""What is normal: how far normal patches lie from a bank, and how rare a cluster is among normal slices.

Some places of the body vary more between normal people than others, and normal slices at the end of an organ hold
higher clusters than those in the middle. Where the frame is consistent, each place gets its own mean and spread
(Gaussian-weighted, drawn toward the pooled values where few patches were seen); whether it is consistent is decided on
normal volumes alone: the finer grid must predict volumes that it was not fitted on better. A cluster is compared with
normal slices of its own depth above all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, DoubleArray, FloatArray
from ..config import RefinedConfig

POOLED, IN_PLANE, IN_VOLUME = (1, 1), (1, 16), (6, 16)
"""Grids: cells along the slice axis, and along either side of the box round the foreground."""


_BOX_MARGIN = 0.1


@dataclass(frozen=True)
class NormalDistances:
    """Distances of held-out normal patches of one slice.

    Attributes:
        values: L2 distance (n,).
        places: x and y in the box round the foreground, -0.5 to 0.5 (n, 2).
        depth: where the slice lies between the first and last with foreground, 0 to 1.
        source: the volume's name.
    """

    values: DoubleArray
    places: FloatArray
    depth: float
    source: str


@dataclass(frozen=True)
class NormalScale:
    """Mean and spread of normal distances, each (Z, G, G): depth, y, x; (1, 1, 1) when pooled."""

    mean: DoubleArray
    spread: DoubleArray

    @classmethod
    def from_array(cls, stacked: AnyArray) -> NormalScale:
        """Read what `to_array` returned."""
        return cls(*np.asarray(stacked, np.float64))

    def to_array(self) -> DoubleArray:
        """Return (2, Z, G, G)."""
        return np.stack([self.mean, self.spread])

    def z_scores(self, distances: AnyArray, places: FloatArray, depth: float) -> DoubleArray:
        """Return how many spreads above the normal mean of their place distances (n,) lie."""
        cell = _cells(places, depth, (self.mean.shape[0], self.mean.shape[1]))
        return np.asarray((distances - self.mean[cell]) / self.spread[cell], np.float64)


def fit_scale(normal: Sequence[NormalDistances], grid: tuple[int, int], config: RefinedConfig) -> NormalScale:
    """Measure the mean and spread of normal distances on a grid."""
    n_deep, n_side = grid
    sums = np.zeros((3, n_deep, n_side, n_side))
    for one in normal:
        cell = _cells(one.places, one.depth, grid)
        for power in range(3):
            np.add.at(sums[power], cell, one.values**power)
    count, total, square = sums.sum((1, 2, 3))
    mean = total / count
    spread = max(float(np.sqrt(max(square / count - mean**2, 0))), 1e-6)
    if grid == POOLED:
        return NormalScale(np.full((1, 1, 1), mean), np.full((1, 1, 1), spread))
    counts, totals, squares = (ndimage.gaussian_filter(each, _width(grid, config), mode="nearest") for each in sums)
    prior = config.scale_prior * counts.mean()
    means = (totals + prior * mean) / (counts + prior)
    variances = (squares + prior * (spread**2 + mean**2)) / (counts + prior) - means**2
    return NormalScale(means, np.sqrt(np.maximum(variances, (config.scale_least_spread * spread) ** 2)))


def choose_grid(by_kind: Sequence[Sequence[NormalDistances]], config: RefinedConfig) -> tuple[int, int]:
    """Return the grid that predicts normal volumes it was not fitted on best.

    `per_position` "off" keeps to the pooled scale, "on" to the others, "auto" lets the data choose. With fewer than
    three volumes nothing can be compared: pooled unless "on".

    Args:
        by_kind: for each feature kind the held-out slices.
    """
    if config.per_position == "off":
        return POOLED
    grids = (IN_PLANE, IN_VOLUME) if config.per_position == "on" else (POOLED, IN_PLANE, IN_VOLUME)
    if len({one.source for one in by_kind[0]}) < config.per_position_volumes:
        return grids[0]
    return max(grids, key=lambda grid: sum(_prediction(normal, grid, config) for normal in by_kind))


def _prediction(normal: Sequence[NormalDistances], grid: tuple[int, int], config: RefinedConfig) -> float:
    """Return the mean log likelihood of each volume's distances under the others' scale (a normal law)."""
    likelihoods = []
    for source in sorted({one.source for one in normal}):
        scale = fit_scale([one for one in normal if one.source != source], grid, config)
        for one in normal:
            if one.source == source:
                cell = _cells(one.places, one.depth, grid)
                z = (one.values - scale.mean[cell]) / scale.spread[cell]
                likelihoods.append(float(np.mean(-0.5 * z**2 - np.log(scale.spread[cell]))))
    return float(np.mean(likelihoods))


def _cells(places: FloatArray, depth: float, grid: tuple[int, int]) -> tuple[AnyArray, AnyArray, AnyArray]:
    n_deep, n_side = grid
    share = (np.asarray(places, np.float64) + 0.5 + _BOX_MARGIN) / (1 + 2 * _BOX_MARGIN)
    x, y = np.clip((share * n_side).astype(int), 0, n_side - 1).T
    deep = np.full(len(x), min(n_deep - 1, max(0, int(depth * n_deep))))
    return deep, y, x


def _width(grid: tuple[int, int], config: RefinedConfig) -> tuple[float, ...]:
    deep, side = config.scale_width_cells
    return tuple(0.0 if cells == 1 else width for cells, width in zip((grid[0], grid[1], grid[1]), (deep, side, side)))


@dataclass(frozen=True)
class NormalExtremes:
    """The highest and the heaviest cluster of each held-out normal slice.

    Attributes:
        peaks, masses: log1p of a slice's highest cluster and of its heaviest one (n,).
        depths: where each slice lay between the first and the last with foreground, 0 to 1 (n,).
        config: the preset.
    """

    peaks: DoubleArray
    masses: DoubleArray
    depths: DoubleArray
    config: RefinedConfig

    def tail_probability(self, peak: float, mass: float, depth: float) -> float:
        """Return the share of normal slices expected to hold a cluster as high or as heavy as this one.

        Height finds small sharp lesions, mass finds large faint ones; normal slices have their own
        spread of either. The smaller probability counts, doubled for the two looks.
        """
        if not len(self.peaks):
            return 1.0
        weights = (
            np.exp(-0.5 * ((self.depths - depth) / self.config.depth_sigma) ** 2) + self.config.depth_least_weight
        )
        pairs = ((peak, self.peaks), (mass, self.masses))
        tails = [_tail(np.log1p(max(one, 0)), normal, weights, self.config.tail_quantile) for one, normal in pairs]
        return min(1.0, 2 * min(tails))


def _tail(value: float, normal: DoubleArray, weights: DoubleArray, quantile: float) -> float:
    """Return the share of weighted normal values at least this large.

    Empirical below the quantile; beyond it an exponential tail fitted to the exceedances
    (of logarithms, so a power law of the values), so that what exceeds every held-out slice still ranks.
    """
    order = np.argsort(normal)
    values, share = normal[order], weights[order] / weights.sum()
    start = float(values[min(int(np.searchsorted(np.cumsum(share), quantile)), len(values) - 1)])
    if value <= start:
        n_effective = float(weights.sum() ** 2 / (weights**2).sum())
        return (n_effective * float(share[values >= value].sum()) + 1) / (n_effective + 1)
    beyond = values > start
    excess = float(np.average(values[beyond] - start, weights=share[beyond])) if beyond.any() else 0.0
    return float((1 - quantile) * np.exp(-(value - start) / max(excess, 1e-3)))
