"""Which parts of which slices are unusual: hysteresis over how rare a cluster is among normal slices.

A cluster is a connected part of one slice's z-map above the cluster-forming level. Clusters that are not common and
overlap on neighboring slices form a group; a group that holds a cluster rarer than the stated rate of false alarms
allows over the whole volume is a lesion. Nothing is fitted on the volume under test (docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import MAP_PX
from .judge import Judge


@dataclass(frozen=True)
class Cluster:
    """A connected part of one slice's map above the cluster-forming level.

    Attributes:
        index: slice index.
        packed: its pixels as bits, for a volume has thousands of clusters.
        tail: share of normal slices of its depth whose highest or heaviest cluster is at least as high or heavy.
    """

    index: int
    packed: AnyArray
    tail: float

    @property
    def mask(self) -> BoolArray:
        """Its pixels, bool (256, 256)."""
        return np.unpackbits(self.packed).astype(bool).reshape(MAP_PX, MAP_PX)

    def overlaps(self, other: Cluster) -> bool:
        """Return whether two clusters share a pixel."""
        return bool((self.packed & other.packed).any())


@dataclass(frozen=True)
class SliceClusters:
    """What a slice's map holds.

    Attributes:
        tail: that of its rarest cluster; 1 where there is none.
        uncommon: its clusters that are not common.
    """

    tail: float
    uncommon: tuple[Cluster, ...]

    @property
    def score(self) -> float:
        """The score of the slice: -log10 of the tail."""
        return float(-np.log10(max(self.tail, 1e-30)))


def find_clusters(index: int, maps: FloatArray, depth: float, calibration: Judge) -> SliceClusters:
    """Label a slice's maps once: its rarest cluster scores the slice, those that are not common may be lesions.

    maps: (kinds, 256, 256).
    depth: where the slice lies in the patient, 0 to 1.
    """
    labels, count = ndimage.label(maps.max(0) > calibration.level)
    tails = calibration.tails(maps, labels, count, depth)
    uncommon = [
        Cluster(index, np.packbits(labels == number), tail)
        for number, tail in enumerate(tails, 1)
        if tail <= calibration.config.grow_tail
    ]
    return SliceClusters(min(tails, default=1.0), tuple(uncommon))


def seed_tail(looks: float, sensitivity: float) -> float:
    """Return how rare a cluster must be among normal slices to seed a lesion (Sidak's correction).

    A volume is looked at as many times as it has independent slices.

    Args:
        looks: how many slices of the volume are independent of each other.
        sensitivity: share of normal volumes that may get any mark.
    """
    return float(1 - (1 - sensitivity) ** (1 / max(1.0, looks)))


def link_lesions(clusters: Sequence[Cluster], seed: float) -> list[list[Cluster]]:
    """Group overlapping clusters of neighboring slices and keep the groups with a seed, the rarest first."""
    numbers: dict[int, list[int]] = {}
    for number, cluster in enumerate(clusters):
        numbers.setdefault(cluster.index, []).append(number)
    pairs = [
        (number, other)
        for number, cluster in enumerate(clusters)
        for other in numbers.get(cluster.index + 1, [])
        if cluster.overlaps(clusters[other])
    ]
    groups: dict[int, list[Cluster]] = {}
    for cluster, group in zip(clusters, _components(len(clusters), pairs), strict=True):
        groups.setdefault(int(group), []).append(cluster)
    rarest = {key: min(cluster.tail for cluster in group) for key, group in groups.items()}
    return [groups[key] for key in sorted(groups, key=lambda key: rarest[key]) if rarest[key] <= seed]


def _components(count: int, pairs: Sequence[tuple[int, int]]) -> AnyArray:
    """Return the group (count,) of each item, pairs being in one group."""
    if not count:
        return np.zeros(0, int)
    rows, columns = np.array(pairs, int).reshape(-1, 2).T
    linked = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(count, count))
    return np.asarray(connected_components(linked, directed=False)[1])


def top_cluster(values: FloatArray, level: float, outside: float) -> BoolArray:
    """Return the cluster that holds a map's maximum: the paper always points somewhere.

    Where nothing lies above the level, it is what lies above half the map's height.

    Args:
        values: the map (256, 256).
        outside: its value where nothing is measured.
    """
    peak, low = float(values.max()), float(values[values > outside].mean())
    labels, _ = ndimage.label(values > level if peak > level else values >= low + 0.5 * (peak - low))
    y, x = np.unravel_index(int(np.argmax(values)), values.shape)
    return np.asarray(labels == labels[y, x])
