"""What speaks for a mask: the map, the other candidates, and the edge it follows in the image.

Predicted IoU alone prefers whole organs (the paper's Table 2: the index alone is worth 4 to 27 points), and agreement
with the map alone prefers masks as wide as the map's blur. So three things are multiplied: how well the mask agrees
with the map, as far as the lesion is large enough for the map to show its shape; how well the candidates of different
prompts and looks agree with it; and how much it differs from what surrounds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from ..arrays import BoolArray, FloatArray
from ..config import RefinedConfig


@dataclass(frozen=True)
class Evidence:
    """What speaks for a candidate, each in [0, 1] but the contrast.

    Attributes:
        agreement: with the map, near the cluster.
        consensus: mean Dice with the candidates of other prompts and looks.
        contrast: difference of means inside and just outside, in standard deviations of both.
        inside: share of the mask that lies on or near the cluster.
        score: the product that ranks candidates.
    """

    agreement: float
    consensus: float
    contrast: float
    inside: float
    score: float

    @classmethod
    def none(cls) -> Evidence:
        """Return that nothing speaks for a mask."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Witness:
    """What candidates of one slice are judged by; all (256, 256).

    Attributes:
        raster: the slice in the map's frame.
        values: the map.
        cluster: where it is unusual; None where the user points at something the map does not show.
        others: masks that stand for the consensus.
        config: the preset.
        is_sharp: the map is about as sharp as the image.
    """

    raster: FloatArray
    values: FloatArray
    cluster: BoolArray | None
    others: tuple[BoolArray, ...]
    config: RefinedConfig
    is_sharp: bool = False

    @cached_property
    def _near(self) -> BoolArray:
        assert self.cluster is not None
        return near_cluster(self.cluster, self.config.near_px)

    @cached_property
    def _target(self) -> FloatArray:
        """The soft target: the map near the cluster as a share of the cluster's peak, in [0, 1]."""
        peak = max(float(np.percentile(self.values[self.cluster], 95)), 1e-6)
        return np.where(self._near, np.clip(self.values / peak, 0, 1), 0).astype(np.float32)

    @cached_property
    def _shape_known(self) -> float:
        """How far the map shows the cluster's shape."""
        assert self.cluster is not None
        return 1.0 if self.is_sharp else min(1.0, float(self.cluster.sum()) / self.config.shape_px**2)

    def judge(self, mask: BoolArray, own: int | None = None) -> Evidence:
        """Weigh a mask (256, 256); own: its number among `others`, with which it is not compared."""
        if not mask.any():
            return Evidence.none()
        others = [other for number, other in enumerate(self.others) if number != own]
        consensus = float(np.mean([dice(mask, other) for other in others])) if others else 1.0
        contrast = edge_contrast(self.raster, mask, self.config.rim_px)
        if self.cluster is None:
            return Evidence(1.0, consensus, contrast, 1.0, consensus * contrast)
        agreed = agreement(mask, self._target, self.cluster)
        score = agreed**self._shape_known * consensus * contrast
        return Evidence(agreed, consensus, contrast, float((mask & self._near).sum() / mask.sum()), score)


def dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice of two masks of one shape; 0 when both are empty."""
    return 2 * float((first & second).sum()) / max(1.0, float(first.sum()) + float(second.sum()))


def near_cluster(cluster: BoolArray, reach_px: int) -> BoolArray:
    """Return a cluster with its close surroundings."""
    return np.asarray(ndimage.binary_dilation(cluster, iterations=reach_px)) if reach_px else cluster


def agreement(mask: BoolArray, target: FloatArray, cluster: BoolArray) -> float:
    """Return the mean of the soft Dice with the map near the cluster and the Dice with the cluster."""
    soft = 2 * float(target[mask].sum()) / (float(mask.sum()) + float(target.sum()) + 1e-6)
    return (soft + dice(mask, cluster)) / 2


def edge_contrast(raster: FloatArray, mask: BoolArray, rim_px: int) -> float:
    """Return how much a mask differs from its rim: |difference of means| over the spread of both together."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    near = tuple(slice(max(0, some[0] - rim_px), some[-1] + rim_px + 1) for some in (rows, columns))
    raster, mask = raster[near], mask[near]
    rim = ndimage.binary_dilation(mask, iterations=rim_px) & ~mask
    if not rim.any():
        return 0.0
    spread = float(np.concatenate([raster[mask], raster[rim]]).std())
    return abs(float(raster[mask].mean()) - float(raster[rim].mean())) / (spread + 1e-6)
