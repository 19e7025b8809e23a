"""From the records of all cases to the figures of every row, one record in memory at a time."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from ..arrays import DoubleArray, FloatArray
from .counting import BITS, COLUMNS, PooledHistogram, ScoreHistogram, dice, n_found
from .ranking import best_dice_bin
from .record import CaseRecord, MapRecord

Records = Callable[[], Iterable[CaseRecord]]
"""Reads the records again, one at a time, calibration cases among them."""

NORMAL_QUANTILE = 0.995
_GROUP_BITS = BITS - 3
"""Bins of the per-group histograms, for intervals and held-out levels."""
_NOTHING = 1 << BITS
"""A level no pixel reaches."""


SECONDS = {"method_s", "metrics_s"}
"""Facts of a record that are added up by preset."""


@dataclass
class GroupSums:
    """Numerator and denominator of a mean, per group; the mean is sum / sum."""

    top: dict[str, float] = field(default_factory=dict)
    bottom: dict[str, float] = field(default_factory=dict)

    def add(self, group: str, top: float, bottom: float) -> None:
        """Add to a group."""
        self.top[group] = self.top.get(group, 0.0) + top
        self.bottom[group] = self.bottom.get(group, 0.0) + bottom


@dataclass
class MapPool:
    """A map over all test cases."""

    pooled: PooledHistogram = field(default_factory=PooledHistogram)
    groups: dict[str, ScoreHistogram] = field(default_factory=dict)
    normals: dict[str, ScoreHistogram] = field(default_factory=dict)
    held_out: ScoreHistogram | None = None
    images: list[tuple[float, bool, str]] = field(default_factory=list)
    """Score, whether anomalous, and group of every slice."""


MASK_FIGURES = (
    "dice_slice",
    "dice_slice_large",
    "dice_pooled",
    "dice_volume",
    "normal_marked",
    "false_area_normal",
    "lesion_sensitivity",
)
LARGE_PX = 100
"""Anomalous slices with more pixels than this are also averaged by themselves."""


@dataclass
class MaskPool:
    """A segmentation over all test cases: sums of each figure by group, and Dice by slice."""

    sums: dict[str, GroupSums] = field(default_factory=lambda: {name: GroupSums() for name in MASK_FIGURES})
    slices: list[tuple[str, int, float]] = field(default_factory=list)
    volumes: dict[str, float] = field(default_factory=dict)

    def add(self, record: CaseRecord, true: DoubleArray, marked: DoubleArray, n_found: int) -> None:
        """Add a case: pixels per slice (S,) and lesions found."""
        group, is_sick = record.group, record.anomalous > 0
        by_slice = dice(true, marked, record.anomalous)
        self.sums["dice_slice"].add(group, float(by_slice[is_sick].sum()), int(is_sick.sum()))
        is_large = record.anomalous > LARGE_PX
        self.sums["dice_slice_large"].add(group, float(by_slice[is_large].sum()), int(is_large.sum()))
        whole = (2.0 * true.sum(), float(marked.sum() + record.anomalous.sum()))
        self.sums["dice_pooled"].add(group, *whole)
        if record.is_volume and is_sick.any():
            self.sums["dice_volume"].add(group, whole[0] / whole[1], 1)
            self.volumes[record.name] = whole[0] / whole[1]
        self.sums["normal_marked"].add(group, int((marked[~is_sick] > 0).sum()), int((~is_sick).sum()))
        area = marked[~is_sick] / np.maximum(record.pixels[~is_sick], 1)
        self.sums["false_area_normal"].add(group, float(area.sum()), int((~is_sick).sum()))
        self.sums["lesion_sensitivity"].add(group, n_found, len(record.lesion_sizes))
        indexes = record.slices[is_sick]
        self.slices += [(record.name, int(n), float(d)) for n, d in zip(indexes, by_slice[is_sick])]


@dataclass
class Pool:
    """All test cases of a data set, and the seconds that every preset took."""

    maps: dict[str, MapPool] = field(default_factory=dict)
    masks: dict[str, MaskPool] = field(default_factory=dict)
    groups: list[str] = field(default_factory=list)
    n_cases: int = 0
    n_slices: int = 0
    n_anomalous: int = 0
    seconds: dict[str, dict[str, float]] = field(default_factory=dict)


def pool_records(records: Records) -> Pool:
    """Read all records once and add them up."""
    pool = Pool()
    for record in records():
        _add_seconds(pool.seconds, record)
        for name, one in record.maps.items():
            _add_map(pool.maps.setdefault(name, MapPool()), record, one)
        if record.role == "calibration":
            continue
        for key, mask in record.masks.items():
            pool.masks.setdefault(key, MaskPool()).add(record, mask.true, mask.marked, mask.n_found)
        if record.group not in pool.groups:
            pool.groups.append(record.group)
        pool.n_cases += 1
        pool.n_slices += len(record.slices)
        pool.n_anomalous += int((record.anomalous > 0).sum())
    return pool


def _add_seconds(seconds: dict[str, dict[str, float]], record: CaseRecord) -> None:
    for preset, fact in record.facts.items():
        for key in SECONDS & fact.keys():
            kept = seconds.setdefault(preset, dict.fromkeys(sorted(SECONDS), 0.0))
            kept[key] += fact[key]


def _add_map(pool: MapPool, record: CaseRecord, one: MapRecord) -> None:
    normal = one.histogram(record.is_far).coarser(_GROUP_BITS)
    if record.role == "calibration":
        pool.held_out = _joined(pool.held_out, normal)
        return
    pool.normals[record.group] = _joined(pool.normals.get(record.group), normal)
    histogram = one.histogram()
    pool.pooled.add(histogram)
    pool.groups[record.group] = _joined(pool.groups.get(record.group), histogram.coarser(_GROUP_BITS))
    labels = (record.anomalous > 0).tolist()
    pool.images += [(float(score), sick, record.group) for score, sick in zip(one.image_scores, labels, strict=True)]


def _joined(first: ScoreHistogram | None, second: ScoreHistogram) -> ScoreHistogram:
    return second if first is None else first.joined(second)


def add_level_rows(pool: Pool, records: Records, keys: dict[str, tuple[str, str]]) -> None:
    """Read the records once more for the rows whose level comes from other cases.

    keys: map name -> row keys (held-out quantile, best level).
    """
    levels = {name: _Levels(pool.maps[name]) for name in keys if name in pool.maps and pool.maps[name].images}
    for record in records():
        if record.role == "calibration":
            continue
        for name, level in levels.items():
            if name not in record.maps:
                continue
            for key, cut in zip(keys[name], (level.quantile(record.group), level.best)):
                masks = pool.masks.setdefault(key, MaskPool())
                masks.add(record, *_above(record, record.maps[name], cut))


class _Levels:
    """Levels of one map, as score bins; a pixel is marked from the bin on."""

    def __init__(self, pool: MapPool) -> None:
        sparse = pool.pooled.sparse()
        self.best = int(sparse.bins[best_dice_bin(sparse.column("normal"), sparse.column("anomalous"))])
        self.quantile = functools.cache(functools.partial(_held_out_level, pool))


def _held_out_level(pool: MapPool, group: str) -> int:
    """Return the level that held-out normal slices, or else those of all other groups, stay below."""
    if pool.held_out is not None:
        return _quantile_bin([pool.held_out])
    return _quantile_bin([one for name, one in pool.normals.items() if name != group])


def _quantile_bin(histograms: list[ScoreHistogram]) -> int:
    """Return the first fine bin above the quantile of normal pixels inside the organ."""
    if not histograms:
        return _NOTHING
    bins = np.concatenate([one.bins for one in histograms])
    inside = np.concatenate([one.column("normal_inside") for one in histograms])
    order = np.argsort(bins, kind="stable")
    below = np.cumsum(inside[order])
    if not len(below) or not below[-1]:
        return _NOTHING
    reached = int(np.searchsorted(below, NORMAL_QUANTILE * below[-1]))
    return int(bins[order][reached] + 1) << (BITS - _GROUP_BITS)


def _above(record: CaseRecord, one: MapRecord, cut: int) -> tuple[DoubleArray, DoubleArray, int]:
    """Return pixels true and marked per slice (S,), and lesions found, from the bin `cut` on."""
    kept = one.counts * (one.bins >= cut)[:, None]
    starts = np.concatenate([np.zeros((1, len(COLUMNS))), np.cumsum(kept, 0, dtype=float)])
    sums = np.diff(starts[one.offsets], axis=0)
    lesions = one.lesion_bins[one.lesion_bins[:, 1] >= cut]
    marked = np.bincount(lesions[:, 0], weights=lesions[:, 2], minlength=len(record.lesion_sizes))
    return sums[:, 1], sums[:, 0] + sums[:, 1], n_found(marked, record.lesion_sizes)


def image_tables(pool: MapPool, groups: list[str]) -> tuple[DoubleArray, DoubleArray]:
    """Return slices (G, U) per group and distinct score in ascending order, normal and anomalous."""
    scores, labels, names = zip(*pool.images)
    values, column = np.unique(np.array(scores), return_inverse=True)
    tables = np.zeros((2, len(groups), len(values)))
    row = np.array([groups.index(name) for name in names], int)
    np.add.at(tables, (np.array(labels, int), row, column), 1.0)
    return tables[0], tables[1]


def group_tables(pool: MapPool, groups: list[str]) -> tuple[FloatArray, DoubleArray]:
    """Return counts (G, U, 5) over common bins, and regions (G,), in the order of `groups`."""
    sparse = [pool.groups[group] for group in groups]
    bins = np.unique(np.concatenate([one.bins for one in sparse]))
    table = np.zeros((len(groups), len(bins), len(COLUMNS)), np.float32)  # half the memory of float64
    for n, one in enumerate(sparse):
        table[n, np.searchsorted(bins, one.bins)] = one.counts
    return table, np.array([one.n_regions for one in sparse], float)
