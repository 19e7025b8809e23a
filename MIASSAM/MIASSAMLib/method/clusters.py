"""Which parts of which slices are unusual: clusters of the z-maps, with control of false alarms.

Clusters that overlap on neighboring slices form a group, and neighboring slices support each other:
a group becomes a lesion when it is rarer among normal slices than the stated rate allows over the
whole volume. Nothing is fitted on the volume under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import MAP_PX
from .calibrated import Calibration, find_parts

INDEPENDENT_MM = 10.0
"""Slices this far apart count as independent looks at the volume."""
SUPPORT_MM = 20.0
"""Each further 20 mm of a lesion along the slice axis count as one more look at it."""
MAX_LOOKS = 3.0
GROW_TAIL = 0.3
"""A cluster next to a lesion's joins it when at most this share of normal slices has one as heavy."""
FADE = 0.12
"""A slice on which a lesion falls below this share of its highest value lies beside the lesion."""
BESIDE = 0.3
"""On one slice, a part of a lesion below this share of the lesion's highest value there lies beside it."""
EXTEND = 0.06
"""At its ends a lesion goes on while what overlaps it stays above this share of its height above the level."""
EXTEND_BY = 0.1
"""It goes on at either end for at most this share of the slices it already has."""
NEAR = 0.25
"""A group that lies nearer to a lesion than this share of the lesion's diameter belongs to the disease."""
SPECK_SPAN_MM = 4.0
"""A lesion seen over less than this, on one slice of several, is a speck unless it is rarer still."""
SPECK_FACTOR = 0.1


@dataclass(frozen=True)
class Cluster:
    """A connected part of one slice's map above the cluster-forming level.

    Attributes:
        position: which map, counted along the slices looked at.
        packed: its pixels as bits, for a volume has thousands of clusters.
        peak: highest map value.
        tail: share of normal slices of its depth whose highest or heaviest cluster is at least as high or heavy.
    """

    position: int
    packed: AnyArray
    peak: float
    tail: float

    @classmethod
    def of(cls, position: int, mask: BoolArray, peak: float, tail: float) -> Cluster:
        """Keep a mask (256, 256)."""
        return cls(position, np.packbits(mask), peak, tail)

    @property
    def mask(self) -> BoolArray:
        """Its pixels, bool (256, 256)."""
        return np.unpackbits(self.packed).astype(bool).reshape(MAP_PX, MAP_PX)

    def overlaps(self, other: Cluster) -> bool:
        """Return whether two clusters share a pixel."""
        return bool((self.packed & other.packed).any())


def find_clusters(maps: Sequence[FloatArray], depths: Sequence[float], calibration: Calibration) -> list[Cluster]:
    """Return every cluster, slice by slice; depths: where each slice lies in the patient, 0 to 1."""
    found = []
    for position, (values, depth) in enumerate(zip(maps, depths, strict=True)):
        parts = find_parts(values, calibration.level)
        for number, (peak, mass) in enumerate(zip(parts.peaks, parts.masses, strict=True), 1):
            tail = calibration.extremes.tail_probability(peak, mass, depth)
            found.append(Cluster.of(position, parts.labels == number, float(peak), tail))
    return found


@dataclass(frozen=True)
class Stack:
    """The maps of a volume: how many, how far apart, and how large their pixels are, mm."""

    n_slices: int
    spacing_mm: float
    pixel_mm: float


def seed_tail(stack: Stack, sensitivity: float) -> float:
    """Return how rare a cluster must be among normal slices to seed a lesion.

    sensitivity: share of normal volumes that may get any mark. A volume is looked at as many times
    as it has independent slices (Sidak's correction).
    """
    looks = max(1.0, stack.n_slices * stack.spacing_mm / INDEPENDENT_MM)
    return float(1 - (1 - sensitivity) ** (1 / looks))


def link_lesions(clusters: Sequence[Cluster], seed: float, stack: Stack, level: float) -> list[list[Cluster]]:
    """Group overlapping clusters of neighboring slices, keep the groups that are rare enough, and let them go on.

    A group on a single slice, of several slices thinner than SPECK_SPAN_MM, must be ten times rarer. What lies beside
    a lesion need not be rare (`satellites`). level: the cluster-forming level. Returns lesions, the rarest first.
    """
    lesions: list[list[Cluster]] = []
    others: list[list[Cluster]] = []
    for group in _overlapping([cluster for cluster in clusters if cluster.tail <= GROW_TAIL]):
        is_speck = is_single(group) and stack.n_slices > 1 and stack.spacing_mm < SPECK_SPAN_MM
        is_rare = group_tail(group, stack.spacing_mm) <= (seed * SPECK_FACTOR if is_speck else seed)
        (lesions if is_rare else others).append(group)
    lesions = [_core(group) for group in lesions]
    lesions += satellites(others, lesions, stack)
    lesions.sort(key=lambda group: min(cluster.tail for cluster in group))
    taken = {id(cluster) for group in lesions for cluster in group}
    for group in lesions:
        _extend(group, clusters, taken, level)
        group.sort(key=lambda cluster: cluster.position)
    return lesions


def is_single(group: Sequence[Cluster]) -> bool:
    """Return whether a group lies on one slice only."""
    return len({cluster.position for cluster in group}) == 1


def satellites(
    groups: Sequence[list[Cluster]], lesions: Sequence[Sequence[Cluster]], stack: Stack
) -> list[list[Cluster]]:
    """Return the groups on two slices or more that lie nearer to a lesion than NEAR of its diameter.

    Where something is known to be wrong, its neighborhood is looked at as what grows onto it is: a lesion's
    satellites are common, false alarms keep no distance to it.
    """
    wanted = [group for group in groups if not is_single(group)]
    return [group for group in wanted if any(_is_near(group, lesion, stack) for lesion in lesions)]


def _is_near(group: Sequence[Cluster], lesion: Sequence[Cluster], stack: Stack) -> bool:
    diameter_mm = 2 * stack.pixel_mm * np.sqrt(max(cluster.mask.sum() for cluster in lesion) / np.pi)
    reach_mm = NEAR * diameter_mm
    for one in lesion:
        beside = [other for other in group if abs(other.position - one.position) * stack.spacing_mm <= reach_mm]
        if not beside:
            continue
        away_mm = stack.pixel_mm * ndimage.distance_transform_edt(~one.mask)
        for other in beside:
            along_mm = (other.position - one.position) * stack.spacing_mm
            if np.hypot(away_mm[other.mask].min(), along_mm) <= reach_mm:
                return True
    return False


def _extend(group: list[Cluster], clusters: Sequence[Cluster], taken: set[int], level: float) -> None:
    """Let a lesion go on over clusters that are common by themselves but overlap it; `taken` are other lesions'."""
    by_position: dict[int, list[Cluster]] = {}
    for cluster in clusters:
        by_position.setdefault(cluster.position, []).append(cluster)
    least = level + EXTEND * (max(cluster.peak for cluster in group) - level)
    highest = _highest(group)
    own = sorted({cluster.position for cluster in group})
    reach = round(EXTEND_BY * len(own))
    ends = list(group)
    while ends:
        end = ends.pop()
        for position in (end.position - 1, end.position + 1):
            for cluster in by_position.get(position, []):
                is_near = own[0] - reach <= position <= own[-1] + reach
                is_high = cluster.peak >= max(least, BESIDE * highest.get(position, 0.0))
                if is_near and is_high and id(cluster) not in taken and cluster.overlaps(end):
                    taken.add(id(cluster))
                    group.append(cluster)
                    ends.append(cluster)


def _core(group: Sequence[Cluster]) -> list[Cluster]:
    """Return the clusters of a group that belong to the lesion rather than to its faint surroundings."""
    least = FADE * max(cluster.peak for cluster in group)
    highest = _highest(group)
    return [cluster for cluster in group if cluster.peak >= max(least, BESIDE * highest[cluster.position])]


def _highest(group: Sequence[Cluster]) -> dict[int, float]:
    """Return the highest value of a group on each of its slices."""
    highest: dict[int, float] = {}
    for cluster in group:
        highest[cluster.position] = max(cluster.peak, highest.get(cluster.position, 0.0))
    return highest


def group_tail(group: Sequence[Cluster], spacing_mm: float) -> float:
    """Return how rare a group of overlapping clusters is.

    Either its rarest cluster counts, or all of them together: the geometric mean of their tail
    probabilities, raised to the number of looks that the group's extent is worth, from its first slice to
    its last (at most three; chance findings of normal slices are short, lesions go on).
    """
    tails = np.log(np.maximum([cluster.tail for cluster in group], np.finfo(float).tiny))
    extent_mm = (len({cluster.position for cluster in group}) - 1) * spacing_mm
    looks = min(MAX_LOOKS, 1 + extent_mm / SUPPORT_MM)
    return float(np.exp(min(tails.min(), looks * tails.mean())))


def _overlapping(clusters: Sequence[Cluster]) -> list[list[Cluster]]:
    """Return the connected groups of clusters that overlap on neighboring slices."""
    parent = list(range(len(clusters)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    by_position: dict[int, list[int]] = {}
    for number, cluster in enumerate(clusters):
        by_position.setdefault(cluster.position, []).append(number)
    for number, cluster in enumerate(clusters):
        for other in by_position.get(cluster.position + 1, []):
            if cluster.overlaps(clusters[other]):
                parent[root(other)] = root(number)
    groups: dict[int, list[Cluster]] = {}
    for number, cluster in enumerate(clusters):
        groups.setdefault(root(number), []).append(cluster)
    return list(groups.values())
