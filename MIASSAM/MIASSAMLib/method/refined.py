"""The `refined` way: from one slice to a patient.

Two passes: every slice is encoded and scored once; then only what is unusual is outlined.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..arrays import BoolArray, DoubleArray, FloatArray
from ..config import FRAME_PX, MAP_PX, RefinedConfig
from ..errors import UsageError
from ..protocols import Progress, no_progress
from ..volume.slice_image import map_to_frame_xy
from .calibration import OUTSIDE, Calibration
from .contrasts import SeveralContrasts
from .judge import Judge
from .lesions import Cluster, SliceClusters, find_clusters, link_lesions, seed_tail, top_cluster
from .outline import Target, outline
from .own_volume import OwnVolume
from .prepare import PreparedVolume
from .prompts import UserPrompts, cluster_box, cluster_point
from .reading import Reading, SegmentOptions, Stopwatch, slice_range
from .results import Finding, SegmentedSlices, SliceResult

MAP_UNIT = "standard deviations above normal"
OWN_UNIT = "standard deviations above this volume's own tissue"


def segment_refined(
    reading: Reading, indexes: range, options: SegmentOptions, progress: Progress, watch: Stopwatch
) -> SegmentedSlices:
    """Segment what is unusual among normal slices, or in the volume itself; "no anomaly found" is a normal result."""
    calibration = read_calibration(reading)
    found = SegmentedSlices.empty(reading.prepared, OUTSIDE)
    _score(reading, indexes, calibration, options, progress, watch)
    for index in indexes:
        found.put_heat(index, _map(reading, index))
    lesions = _lesions(reading, indexes, calibration, options)
    with watch.stage("decode"):
        findings = _outlined(reading, lesions, calibration, options, progress)
    for index, own in _kept(indexes, findings, reading, options):
        seen: SliceClusters = reading.clusters[index]
        beside = "among normal slices" if reading.bank else "within this volume"
        score, tail = (seen.score, seen.tail) if reading.bank else (float(_map(reading, index).max()), None)
        found.put(SliceResult(index, score, tail, own, "" if own else f"nothing unusual {beside}"))
    found.notes = calibration.pixel_note(reading.prepared.plane.pixel_mm)
    return found


def correct_refined(reading: Reading, index: int, points: UserPrompts, options: SegmentOptions) -> Finding:
    """Outline what the user points at on a slice, as the run outlines what the map points at."""
    is_compared = reading.bank is not None or reading.own is not None
    calibration = read_calibration(reading) if is_compared else None
    if calibration is None:
        target = Target.at(reading.prepared, index, points, reading.embedding(index))
        return outline(reading.model, [target], _config(reading), options.mask or reading.config.mask)[0]
    if index not in reading.maps:
        of_run = slice_range(reading.prepared.plane.n_slices, options.slices)
        alone = range(index, index + 1)
        needed = of_run if _config(reading).axis_sigma_mm and index in of_run else alone
        _score(reading, needed, calibration, options, no_progress, Stopwatch())
    values = _map(reading, index)
    cluster = _cluster_at(reading, values, calibration.level, points, options)
    spot = _Spot(reading, index, values, cluster, calibration.level, _is_sharp(reading, index, cluster, calibration))
    own = _with_own_prompts(spot, options)
    is_own = own is not None and points.is_just(own.points.shown_xy)
    target = own if own and is_own else _target(spot, points)
    return outline(reading.model, [target], _config(reading), options.mask or reading.config.mask)[0]


def read_calibration(reading: Reading) -> Judge:
    """Return what judges a reading: its bank's calibration or, without a bank, the volume itself; contrasts together.

    Raises:
        UsageError: the bank was built without held-out slices, or the preset's map needs a bank.
    """
    own = _own_judge(reading)
    others = [(other, read_calibration(other)) for other in reading.others]
    return SeveralContrasts(own, others) if others else own


def _own_judge(reading: Reading) -> Judge:
    preset = reading.config.preset
    if reading.bank is None:
        if _config(reading).contrast:
            raise UsageError(
                f"contrast={_config(reading).contrast} needs a bank of normals to say what is bright or unusual; "
                "give one, or leave the contrast out"
            )
        if reading.own is None:
            reading.own = OwnVolume(reading.prepared, _config(reading))
        own: OwnVolume = reading.own
        return own
    if not reading.bank.calibration:
        raise UsageError(
            f"the preset {preset} needs a bank calibrated on normal slices and this one is not; "
            f"build it with --preset {preset}, or segment with --preset paper"
        )
    return Calibration.from_arrays(reading.bank.calibration, _config(reading))


def _score(
    reading: Reading,
    indexes: range,
    calibration: Judge,
    options: SegmentOptions,
    progress: Progress,
    watch: Stopwatch,
) -> None:  # six: a step of `segment_refined`, which holds all of them
    """Make the maps of slices and label them, once."""
    missing = [index for index in indexes if index not in reading.maps]
    if missing and _config(reading).axis_sigma_mm:
        missing = list(indexes)  # what was smoothed once must not be smoothed again
    for done, encoded in enumerate(watch.waiting(reading.slices(missing, options.batch), "encode"), 1):
        with watch.stage("search"):
            _keep(reading, encoded.index, calibration.maps(encoded, reading.bank), calibration)
        if options.all_slices or reading.clusters[encoded.index].uncommon:
            reading.rest(encoded)
        progress("scoring slices", done, len(missing))
    if missing and _config(reading).axis_sigma_mm:
        _smooth_along_axis(reading, indexes, calibration)


def _keep(reading: Reading, index: int, maps: FloatArray, calibration: Judge) -> None:
    """Keep maps in half precision, and what they hold."""
    reading.maps[index] = maps.astype(np.float16)
    reading.clusters[index] = find_clusters(index, _maps(reading, index), reading.prepared.depth(index), calibration)


def _maps(reading: Reading, index: int) -> FloatArray:
    return np.asarray(reading.maps[index], np.float32)


def _map(reading: Reading, index: int) -> FloatArray:
    """Return the map (256, 256) that is shown: the highest of the kinds that count."""
    return np.asarray(_maps(reading, index).max(0))


def _smooth_along_axis(reading: Reading, indexes: range, calibration: Judge) -> None:
    """Smooth the maps across slices, over the foreground only."""
    prepared = reading.prepared
    values = np.stack([_maps(reading, index) for index in indexes])
    inside = np.stack([prepared.foreground_map(index) for index in indexes])[:, None]
    sigma = _config(reading).axis_sigma_mm / prepared.plane.spacing_yxs_mm[2]
    share = ndimage.gaussian_filter1d(inside.astype(np.float32), sigma, axis=0)
    mean = ndimage.gaussian_filter1d(np.where(inside, values, 0), sigma, axis=0) / np.maximum(share, 1e-6)
    for index, one in zip(indexes, np.where(inside, mean, OUTSIDE), strict=True):
        _keep(reading, index, one, calibration)


def _lesions(
    reading: Reading, indexes: range, calibration: Judge, options: SegmentOptions
) -> list[list[tuple[int, BoolArray]]]:
    """Return lesions as (slice index, cluster) pairs; with `all_slices` also each other slice's heaviest cluster."""
    looks = independent_looks(reading.prepared, len(indexes), _config(reading))
    clusters: list[Cluster] = [cluster for index in indexes for cluster in reading.clusters[index].uncommon]
    groups = link_lesions(clusters, seed_tail(looks, options.sensitivity))
    lesions = [[(cluster.index, cluster.mask) for cluster in group] for group in groups]
    if options.all_slices:
        taken = {index for group in lesions for index, _ in group}
        rest = [index for index in indexes if index not in taken and (_map(reading, index) > OUTSIDE).any()]
        lesions += [[(index, top_cluster(_map(reading, index), calibration.level, OUTSIDE))] for index in rest]
    return lesions


def independent_looks(prepared: PreparedVolume, n_slices: int, config: RefinedConfig) -> float:
    """Return how many of a volume's slices count as independent of each other."""
    apart_mm = config.independent_bscan_mm if prepared.is_bscans else config.independent_mm
    return n_slices * min(1.0, float(prepared.plane.spacing_yxs_mm[2]) / apart_mm)


def _is_sharp(reading: Reading, index: int, cluster: BoolArray | None, calibration: Judge) -> bool:
    return cluster is not None and calibration.is_sharp(_maps(reading, index), cluster)


def _cluster_at(
    reading: Reading, values: FloatArray, level: float, points: UserPrompts, options: SegmentOptions
) -> BoolArray | None:
    """Return the cluster of a map that a user's point lies in or beside; None where there is none."""
    parts, count = ndimage.label(values > level)
    if options.all_slices and not count and (values > OUTSIDE).any():
        parts = top_cluster(values, level, OUTSIDE).astype(int)
    if not parts.any():
        return None
    distance, (rows, columns) = ndimage.distance_transform_edt(parts == 0, return_indices=True)
    x, y = np.clip(np.round(_to_map(reading, points.shown_xy)).astype(int), 0, MAP_PX - 1)
    if distance[y, x] > _config(reading).reach_px:
        return None
    return np.asarray(parts == parts[rows[y, x], columns[y, x]])


def _to_map(reading: Reading, native_xy: DoubleArray) -> DoubleArray:
    frame_xy = reading.prepared.frame.to_frame_xy(native_xy)
    return np.asarray((frame_xy + 0.5) * MAP_PX / FRAME_PX - 0.5)


@dataclass(frozen=True)
class _Spot:
    """A cluster (256, 256) of a slice's map, None where there is none, with what cut it out and how sharp it is."""

    reading: Reading
    index: int
    values: FloatArray
    cluster: BoolArray | None
    level: float = 0.0
    is_sharp: bool = False

    def box(self) -> DoubleArray:
        """Return the cluster's box x0, y0, x1, y1 in native pixels."""
        assert self.cluster is not None
        box = cluster_box(self.values, self.cluster, self.level, _config(self.reading).box_level)
        return self.reading.prepared.frame.to_native_xy(box.reshape(2, 2)).reshape(4)


def _with_own_prompts(spot: _Spot, options: SegmentOptions) -> Target | None:
    """Return a cluster as a target with the map's own point and box."""
    if spot.cluster is None:
        return None
    config = _config(spot.reading)
    kind = options.prompt or config.prompt
    point = map_to_frame_xy(cluster_point(spot.values, spot.cluster, spot.level, kind, config.gamma))
    points = UserPrompts.inside_at(spot.reading.prepared.frame.to_native_xy(point))
    own = _target(spot, replace(points, box_xyxy=spot.box()))
    return replace(own, kind=kind, is_box_only=kind == "box")


def _target(spot: _Spot, points: UserPrompts) -> Target:
    """Return what a user points at; the cluster's own box goes with it where the user gave none."""
    if spot.cluster is not None and points.box_xyxy is None:
        points = replace(points, box_xyxy=spot.box())
    reading, index, is_box_only = spot.reading, spot.index, not len(points.inside)
    return Target(
        index, points, "user", is_box_only, spot.values, spot.cluster, spot.level, spot.is_sharp,
        reading.embedding(index), reading.prepared,
    )  # fmt: skip


def _outlined(
    reading: Reading,
    lesions: Sequence[Sequence[tuple[int, BoolArray]]],
    calibration: Judge,
    options: SegmentOptions,
    progress: Progress,
) -> dict[int, list[Finding]]:
    """Outline every cluster of every lesion, slice by slice."""
    work: dict[int, list[tuple[int, BoolArray]]] = {}
    for number, group in enumerate(lesions, 1):
        for index, cluster in group:
            work.setdefault(index, []).append((number, cluster))
    findings: dict[int, list[Finding]] = {}
    for done, index in enumerate(sorted(work), 1):
        values = _map(reading, index)
        own = [
            _with_own_prompts(_Spot(reading, index, values, cluster, calibration.level, is_sharp), options)
            for cluster, is_sharp in ((one, _is_sharp(reading, index, one, calibration)) for _, one in work[index])
        ]
        outlined = outline(
            reading.model, [one for one in own if one], _config(reading), options.mask or reading.config.mask
        )
        findings[index] = [
            replace(finding, lesion=number) for (number, _), finding in zip(work[index], outlined, strict=True)
        ]
        progress("outlining lesions", done, len(work))
    return findings


def _kept(
    indexes: range, findings: Mapping[int, Sequence[Finding]], reading: Reading, options: SegmentOptions
) -> Iterator[tuple[int, tuple[Finding, ...]]]:
    """Yield each slice's findings; lesions that came out empty or too small are left out and the others renumbered."""
    volume_ml: dict[int, float] = {}
    slice_mm = float(reading.prepared.plane.spacing_yxs_mm[2])
    for finding in (one for items in findings.values() for one in items if one.mask.any()):
        volume_ml[finding.lesion] = volume_ml.get(finding.lesion, 0.0) + finding.area_mm2 * slice_mm / 1000
    wanted = sorted(number for number, volume in volume_ml.items() if volume >= options.min_volume_ml)
    renumber = {old: new for new, old in enumerate(wanted, 1)}
    for index in indexes:
        own = [one for one in findings.get(index, ()) if one.mask.any() and one.lesion in renumber]
        yield index, tuple(replace(one, lesion=renumber[one.lesion]) for one in own)


def _config(reading: Reading) -> RefinedConfig:
    assert isinstance(reading.config, RefinedConfig)
    return reading.config
