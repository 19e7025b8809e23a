"""The `refined` preset: from one slice to a patient.

Two passes: every slice is encoded and scored once; then only the unusual clusters are decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..arrays import AnyArray, FloatArray
from ..errors import UsageError
from ..protocols import Progress
from ..volume.slice_image import frame_to_native
from .calibrated import OUTSIDE, Calibration, map_calibrated, surprise
from .candidates import ClusterOnSlice, outline
from .clusters import GROW_TAIL, Cluster, Stack, find_clusters, link_lesions, seed_tail
from .features import EncodedSlice, encode_slices
from .prepare import PreparedVolume
from .results import CaseResult, Finding, SliceResult

if TYPE_CHECKING:
    from .segmenter import Segmenter, SegmentOptions, Stopwatch

_MAX_KEPT_EMBEDDINGS = 96
"""Embeddings kept in half precision between the passes (2 MB each); others are encoded again."""


@dataclass(frozen=True)
class ScoredSlices:
    """The first pass over a volume: maps in half precision, slice scores, some embeddings."""

    maps: list[AnyArray]
    scores: list[float]
    embeddings: dict[int, torch.Tensor]


def segment_refined(
    segmenter: Segmenter,
    prepared: PreparedVolume,
    indexes: range,
    options: SegmentOptions,
    progress: Progress,
    watch: Stopwatch,
) -> CaseResult:
    """Segment what is unusual among normal slices; "no anomaly found" is a normal result."""
    calibration = read_calibration(segmenter)
    heat = np.full(prepared.volume.shape_kji, OUTSIDE, np.float32)
    scored = _score(segmenter, prepared, indexes, calibration, options, progress, watch, heat)
    if segmenter.config.axis_sigma_mm:
        scored = _smooth_along_axis(scored, prepared, indexes, calibration, segmenter.config.axis_sigma_mm, heat)
    lesions = select_lesions(scored, prepared, indexes, calibration, options)
    with watch.stage("decode"):
        findings = _decode(segmenter, prepared, indexes, scored, lesions, calibration, options, progress)
    labels, findings = paint(prepared, indexes, findings)
    slices = tuple(
        SliceResult(
            index,
            scored.scores[position],
            10 ** -scored.scores[position],
            tuple(findings.get(position, ())),
            "" if findings.get(position) else "nothing unusual among normal slices",
        )
        for position, index in enumerate(indexes)
    )
    from .segmenter import heat_unit

    return CaseResult(
        prepared, slices, heat, labels, heat_unit(segmenter.config), segmenter.describe(options), watch.seconds,
        (*prepared.volume.notes, *calibration.pixel_note(prepared.plane.pixel_mm)),
    )  # fmt: skip


def read_calibration(segmenter: Segmenter) -> Calibration:
    """Return the bank's calibration.

    Raises:
        UsageError: there is no bank, or it was built without held-out slices.
    """
    if segmenter.bank is None or not segmenter.bank.calibration:
        raise UsageError(
            f"the preset {segmenter.config.preset} needs a bank calibrated on normal slices and this one is not; "
            f"build it with --preset {segmenter.config.preset}, or segment with --preset paper"
        )
    return Calibration.from_arrays(segmenter.bank.calibration, segmenter.config.contrast)


def _score(
    segmenter: Segmenter,
    prepared: PreparedVolume,
    indexes: range,
    calibration: Calibration,
    options: SegmentOptions,
    progress: Progress,
    watch: Stopwatch,
    heat: FloatArray,
) -> ScoredSlices:
    from .segmenter import timed

    scored = ScoredSlices([], [], {})
    assert segmenter.bank is not None
    for encoded in timed(segmenter.encode(prepared, indexes, options.batch), watch, "encode"):
        with watch.stage("search"):
            slice_map = map_calibrated(encoded, segmenter.bank, calibration, segmenter.config)
            prepared.plane.put(heat, encoded.index, frame_to_native(slice_map.values, prepared.frame))
        scored.maps.append(slice_map.values.astype(np.float16))
        scored.scores.append(slice_map.image_score)
        _keep_embedding(scored, encoded, options)
        progress("scoring slices", len(scored.maps), len(indexes))
    return scored


def _keep_embedding(scored: ScoredSlices, encoded: EncodedSlice, options: SegmentOptions) -> None:
    unusual = options.all_slices or 10 ** -scored.scores[-1] <= GROW_TAIL
    if unusual and len(scored.embeddings) < _MAX_KEPT_EMBEDDINGS:
        scored.embeddings[len(scored.maps) - 1] = encoded.embedding.half()


def _smooth_along_axis(
    scored: ScoredSlices,
    prepared: PreparedVolume,
    indexes: range,
    calibration: Calibration,
    sigma_mm: float,
    heat: FloatArray,
) -> ScoredSlices:
    """Smooth the maps across slices, over the foreground only, and score the slices again."""
    from scipy import ndimage

    values = np.stack(scored.maps).astype(np.float32)
    inside = np.stack([prepared.foreground_map(index) for index in indexes])
    sigma = sigma_mm / prepared.plane.spacing_yxs_mm[2]
    share = ndimage.gaussian_filter1d(inside.astype(np.float32), sigma, axis=0)
    mean = ndimage.gaussian_filter1d(np.where(inside, values, 0), sigma, axis=0) / np.maximum(share, 1e-6)
    smooth = np.where(inside, mean, OUTSIDE).astype(np.float32)
    for index, one in zip(indexes, smooth, strict=True):
        prepared.plane.put(heat, index, frame_to_native(one, prepared.frame))
    scores = [surprise(one, calibration, prepared.depth(index)) for index, one in zip(indexes, smooth, strict=True)]
    return ScoredSlices(list(smooth.astype(np.float16)), scores, scored.embeddings)


def select_lesions(
    scored: ScoredSlices,
    prepared: PreparedVolume,
    indexes: range,
    calibration: Calibration,
    options: SegmentOptions,
) -> list[list[Cluster]]:
    """Return lesions as groups of clusters; with `all_slices` also each other slice's heaviest cluster."""
    stack = Stack(len(scored.maps), prepared.plane.spacing_yxs_mm[2], prepared.map_pixel_mm)
    maps = [values.astype(np.float32) for values in scored.maps]
    clusters = find_clusters(maps, [prepared.depth(index) for index in indexes], calibration)
    lesions = link_lesions(clusters, seed_tail(stack, options.sensitivity), stack, calibration.level)
    if options.all_slices:
        taken = {cluster.position for group in lesions for cluster in group}
        lesions += [
            [_top_cluster(scored.maps[position].astype(np.float32), position)]
            for position in range(len(scored.maps))
            if position not in taken and (scored.maps[position] > OUTSIDE).any()
        ]
    return lesions


def _top_cluster(values: FloatArray, position: int) -> Cluster:
    """Return the part of a map above half its maximum that holds the maximum: the paper always points somewhere."""
    from scipy import ndimage

    peak = float(values.max())
    low = float(values[values > OUTSIDE].mean())
    labels, _ = ndimage.label(values >= low + 0.5 * (peak - low))
    y, x = np.unravel_index(int(np.argmax(values)), values.shape)
    return Cluster.of(position, labels == labels[y, x], peak, 1.0)


def _decode(
    segmenter: Segmenter,
    prepared: PreparedVolume,
    indexes: range,
    scored: ScoredSlices,
    lesions: Sequence[Sequence[Cluster]],
    calibration: Calibration,
    options: SegmentOptions,
    progress: Progress,
) -> dict[int, list[Finding]]:
    """Outline every cluster of every lesion, slice by slice, each slice's embedding being read once."""
    work: dict[int, list[tuple[int, Cluster]]] = {}
    for number, group in enumerate(lesions, 1):
        for cluster in group:
            work.setdefault(cluster.position, []).append((number, cluster))
    findings: dict[int, list[Finding]] = {}
    config = segmenter.config
    for done, position in enumerate(sorted(work), 1):
        embedding = _embedding(segmenter, prepared, scored, position, indexes[position])
        values = scored.maps[position].astype(np.float32)
        for number, cluster in work[position]:
            place = ClusterOnSlice(indexes[position], values, cluster.mask, calibration.level, embedding, prepared)
            finding = outline(
                segmenter.model, place, config, options.prompt or config.prompt, options.mask or config.mask
            )
            findings.setdefault(position, []).append(replace(finding, lesion=number))
        progress("outlining lesions", done, len(work))
    return findings


def _embedding(
    segmenter: Segmenter, prepared: PreparedVolume, scored: ScoredSlices, position: int, index: int
) -> torch.Tensor:
    kept = scored.embeddings.get(position)
    if kept is not None:
        return kept.float()
    return next(iter(encode_slices(segmenter.model, prepared, [index], segmenter.config))).embedding


def paint(
    prepared: PreparedVolume, indexes: range, findings: dict[int, list[Finding]]
) -> tuple[AnyArray, dict[int, list[Finding]]]:
    """Paint the findings into labels (K, J, I); lesions that came out empty are left out and renumbered."""
    labels = np.zeros(prepared.volume.shape_kji, np.uint16)
    kept = {position: [f for f in items if f.mask.any()] for position, items in findings.items()}
    numbers = sorted({finding.lesion for items in kept.values() for finding in items})
    renumber = {old: new for new, old in enumerate(numbers, 1)}
    for position, items in kept.items():
        kept[position] = [replace(finding, lesion=renumber[finding.lesion]) for finding in items]
        for finding in reversed(kept[position]):
            pixels = prepared.plane.take(labels, indexes[position]).copy()
            pixels[finding.mask] = finding.lesion
            prepared.plane.put(labels, indexes[position], pixels)
    return labels, {position: items for position, items in kept.items() if items}
