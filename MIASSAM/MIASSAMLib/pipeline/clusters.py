"""Which parts of which slices are unusual: clusters of the z-maps, with control of false alarms.

A cluster seeds a lesion when its mass is rarer than the stated rate allows over the whole volume.
Neighboring slices support each other: a cluster that overlaps a lesion's cluster on the next slice
joins it at a much weaker level. Nothing is fitted on the volume under test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..arrays import BoolArray, FloatArray
from .calibrated import Calibration, cluster_masses

INDEPENDENT_MM = 10.0
"""Slices this far apart count as independent looks at the volume."""
GROW_TAIL = 0.2
"""A cluster next to a lesion's joins it when at most this share of normal slices has one as heavy."""
SPECK_SPAN_MM = 4.0
"""A lesion seen over less than this, on one slice of several, is a speck unless it is rarer still."""
SPECK_FACTOR = 0.1


@dataclass(frozen=True)
class Cluster:
    """A connected part of one slice's map above the cluster-forming level.

    Attributes:
        position: which map, counted along the slices looked at.
        mask: bool (256, 256).
        tail: share of normal slices whose heaviest cluster is at least as heavy.
    """

    position: int
    mask: BoolArray
    tail: float


def find_clusters(maps: Sequence[FloatArray], calibration: Calibration) -> list[Cluster]:
    """Return every cluster that could seed or join a lesion, slice by slice."""
    found = []
    for position, values in enumerate(maps):
        labels, masses = cluster_masses(values, calibration.level)
        for number, mass in enumerate(masses, 1):
            tail = calibration.tail_probability(float(np.log1p(mass)))
            if tail <= GROW_TAIL:
                found.append(Cluster(position, labels == number, tail))
    return found


def seed_tail(n_slices: int, spacing_mm: float, sensitivity: float) -> float:
    """Return how rare a cluster must be among normal slices to seed a lesion.

    sensitivity: share of normal volumes that may get any mark. A volume is looked at as many times
    as it has independent slices (Sidak's correction).
    """
    looks = max(1.0, n_slices * spacing_mm / INDEPENDENT_MM)
    return float(1 - (1 - sensitivity) ** (1 / looks))


def link_lesions(clusters: Sequence[Cluster], seed: float, spacing_mm: float, n_slices: int) -> list[list[Cluster]]:
    """Group overlapping clusters of neighboring slices and keep the groups that hold a seed.

    A group on a single slice, of several slices thinner than SPECK_SPAN_MM, must be ten times rarer.
    Returns lesions, the rarest first.
    """
    groups = _overlapping(clusters)
    lesions = []
    for group in groups:
        rarest = min(cluster.tail for cluster in group)
        is_speck = len({c.position for c in group}) == 1 and n_slices > 1 and spacing_mm < SPECK_SPAN_MM
        if rarest <= (seed * SPECK_FACTOR if is_speck else seed):
            lesions.append(sorted(group, key=lambda cluster: cluster.position))
    return sorted(lesions, key=lambda group: min(cluster.tail for cluster in group))


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
            if (cluster.mask & clusters[other].mask).any():
                parent[root(other)] = root(number)
    groups: dict[int, list[Cluster]] = {}
    for number, cluster in enumerate(clusters):
        groups.setdefault(root(number), []).append(cluster)
    return list(groups.values())
