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

MAP_SHOWS_SHAPE_PX = 64
"""A cluster this wide (map px) is much wider than the map's blur, so that agreement counts in full."""
_NEAR_PX = 6
_RIM_PX = 4


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


@dataclass(frozen=True)
class Witness:
    """What candidates of one cluster are judged by; all (256, 256).

    Attributes:
        raster: the slice in the map's frame.
        values: the map.
        cluster: where it is unusual.
        others: masks that stand for the consensus.
        is_sharp: the map is as sharp as the image, so that its agreement counts at any size.
    """

    raster: FloatArray
    values: FloatArray
    cluster: BoolArray
    others: tuple[BoolArray, ...]
    is_sharp: bool = False

    @cached_property
    def _near(self) -> BoolArray:
        return near_cluster(self.cluster)

    @cached_property
    def _target(self) -> FloatArray:
        return agreement_target(self.values, self.cluster)

    def judge(self, mask: BoolArray) -> Evidence:
        """Weigh a mask (256, 256)."""
        if not mask.any():
            return Evidence(0.0, 0.0, 0.0, 0.0, 0.0)
        agreed = agreement(mask, self._target, self.cluster)
        consensus = float(np.mean([dice(mask, other) for other in self.others])) if self.others else 1.0
        contrast = edge_contrast(self.raster, mask)
        shape_known = 1.0 if self.is_sharp else min(1.0, float(self.cluster.sum()) / MAP_SHOWS_SHAPE_PX**2)
        score = agreed**shape_known * consensus * contrast
        return Evidence(agreed, consensus, contrast, float((mask & self._near).sum() / mask.sum()), score)


def dice(first: BoolArray, second: BoolArray) -> float:
    """Return the Dice of two masks of one shape; 0 when both are empty."""
    return 2 * float((first & second).sum()) / max(1.0, float(first.sum()) + float(second.sum()))


def agreement_target(values: FloatArray, cluster: BoolArray) -> FloatArray:
    """Return the soft target: the map near the cluster as a share of the cluster's peak, in [0, 1]."""
    peak = max(float(np.percentile(values[cluster], 95)), 1e-6)
    return np.where(near_cluster(cluster), np.clip(values / peak, 0, 1), 0).astype(np.float32)


def near_cluster(cluster: BoolArray) -> BoolArray:
    """Return a cluster with its close surroundings."""
    return np.asarray(ndimage.binary_dilation(cluster, iterations=_NEAR_PX))


def agreement(mask: BoolArray, target: FloatArray, cluster: BoolArray) -> float:
    """Return the mean of the soft Dice with the map near the cluster and the Dice with the cluster."""
    soft = 2 * float(target[mask].sum()) / (float(mask.sum()) + float(target.sum()) + 1e-6)
    return (soft + dice(mask, cluster)) / 2


def edge_contrast(raster: FloatArray, mask: BoolArray) -> float:
    """Return how much a mask differs from its rim: |difference of means| over the spread of both together."""
    rim = ndimage.binary_dilation(mask, iterations=_RIM_PX) & ~mask
    if not rim.any():
        return 0.0
    spread = float(np.concatenate([raster[mask], raster[rim]]).std())
    return abs(float(raster[mask].mean()) - float(raster[rim].mean())) / (spread + 1e-6)
