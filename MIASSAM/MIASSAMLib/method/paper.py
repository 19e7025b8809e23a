"""The paper's way: every slice gets one prompt and three masks, of which the third is the segmentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, DoubleArray, FloatArray
from ..config import FRAME_PX, MAP_PX, MaskChoice, PaperConfig, PromptKind
from ..errors import UsageError
from ..protocols import Decoded, Progress, Prompts
from ..volume.slice_image import frame_to_native, map_to_frame_xy, native_to_map
from .anomaly_map import anomaly_map, normalize_map, patch_scores
from .features import EncodedSlice, search_slice
from .prepare import PreparedVolume
from .prompts import UserPrompts, bounded, boxes_above, center_of_gravity, dense_prompt_logits, maximum_point
from .reading import Reading, SegmentOptions, Stopwatch
from .results import Finding, SegmentedSlices, SliceResult


@dataclass(frozen=True)
class SliceMap:
    """The anomaly map of one slice over the square frame.

    Attributes:
        values: float32 (256, 256) in the preset's unit.
        normalized: float32 (256, 256) in [0, 1], the weights of the prompts.
        image_score: the largest patch score.
    """

    values: FloatArray
    normalized: FloatArray
    image_score: float


@dataclass(frozen=True)
class PlacedPrompts:
    """Prompts of one slice and the point shown to the user (native pixels)."""

    prompts: Prompts
    shown_xy: AnyArray
    kind: str


def map_unit(config: PaperConfig) -> str:
    """Return the unit of a heat map in words."""
    return "squared L2 distance to normal" if config.distance == "squared_l2" else "L2 distance to normal"


def map_slice(encoded: EncodedSlice, reading: Reading) -> SliceMap:
    """Score a slice: distances of its patches, smoothed, min-max by itself.

    Raises:
        UsageError: there is no bank.
    """
    config = paper_config(reading)
    if reading.bank is None:
        raise UsageError("no memory bank is loaded; choose a bank or build one from normal volumes")
    scores = patch_scores(search_slice(encoded, reading.bank, config.features[0], config), config.distance)
    values, foreground = anomaly_map(scores, config), encoded.foreground
    inside = values
    if encoded.is_compared_inside(config) and foreground.any():
        inside = np.where(foreground, values, values[foreground].min())
    if encoded.is_bounded:
        values = np.where(foreground, values, 0)
    return SliceMap(values, normalize_map(inside), float(scores.max(initial=0.0)))


def segment_paper(
    reading: Reading, indexes: range, options: SegmentOptions, progress: Progress, watch: Stopwatch
) -> SegmentedSlices:
    """Map and decode every slice."""
    found = SegmentedSlices.empty(reading.prepared)
    for done, encoded in enumerate(watch.waiting(reading.slices(indexes, options.batch), "encode"), 1):
        with watch.stage("search"):
            slice_map = map_slice(encoded, reading)
            found.put_heat(encoded.index, slice_map.values)
        with watch.stage("decode"):
            findings = _findings(reading, encoded, slice_map, options)
        note = "" if findings else "no anomaly: the slice is constant"
        found.put(SliceResult(encoded.index, slice_map.image_score, findings=findings, note=note))
        progress("segmenting slices", done, len(indexes))
    return found


def correct_paper(reading: Reading, index: int, points: UserPrompts, options: SegmentOptions) -> Finding:
    """Decode a slice with the map's point replaced by the user's points."""
    encoded = reading.slice(index)
    slice_map = map_slice(encoded, reading) if reading.bank is not None else None
    placed = place_prompts(slice_map, reading.prepared, paper_config(reading), options.prompt, points)
    assert placed is not None
    return decode_finding(reading, encoded, placed, slice_map, options.mask)


def _findings(
    reading: Reading, encoded: EncodedSlice, slice_map: SliceMap, options: SegmentOptions
) -> tuple[Finding, ...]:
    pixels = reading.prepared.pixels(encoded.index)
    placed = place_prompts(slice_map, reading.prepared, paper_config(reading), options.prompt)
    if placed is None or pixels.max() == pixels.min():
        return ()
    return (decode_finding(reading, encoded, placed, slice_map, options.mask),)


def place_prompts(
    slice_map: SliceMap | None,
    prepared: PreparedVolume,
    config: PaperConfig,
    kind: PromptKind | None,
    points: UserPrompts | None = None,
) -> PlacedPrompts | None:
    """Place the prompts of a map; None when the map is constant and points nowhere.

    cog: center of gravity (paper 3.2); max: the maximum; box: a box for each part of the normalized
    map above `box_level` (Table 3), the center of gravity being shown as the point.

    Args:
        points: the user's, instead of the map's own. Those that lie where the map's own lies are the map's own.
    """
    kind = kind or config.prompt
    own = None if slice_map is None else _own_point(slice_map, prepared, kind, config.gamma)
    if points is not None and (own is None or not points.is_just(own)):
        return PlacedPrompts(_point_prompts(prepared, points, _dense(slice_map, config)), points.shown_xy, "user")
    if own is None or slice_map is None:
        return None
    boxes = boxes_above(slice_map.normalized, config.box_level) if kind == "box" else np.zeros((0, 4), np.int64)
    if len(boxes):
        return PlacedPrompts(_box_prompts(boxes, _dense(slice_map, config)), own, "box")
    shown = UserPrompts.inside_at(own)
    return PlacedPrompts(
        _point_prompts(prepared, shown, _dense(slice_map, config)), own, "max" if kind == "max" else "cog"
    )


def _own_point(slice_map: SliceMap, prepared: PreparedVolume, kind: PromptKind, gamma: float) -> DoubleArray | None:
    center = center_of_gravity(slice_map.normalized, gamma)
    point = maximum_point(slice_map.normalized) if kind == "max" else center
    return None if point is None else prepared.frame.to_native_xy(map_to_frame_xy(point))


def _dense(slice_map: SliceMap | None, config: PaperConfig) -> FloatArray | None:
    if slice_map is None or not config.dense_prompt:
        return None
    return dense_prompt_logits(slice_map.normalized, config.dense_prompt_logit)


def _point_prompts(prepared: PreparedVolume, points: UserPrompts, dense: FloatArray | None) -> Prompts:
    xy = np.asarray(prepared.frame.to_frame_xy(points.xy), np.float32)[None]
    labels, logits = np.asarray(points.labels, np.int64)[None], None if dense is None else dense[None]
    return Prompts(xy, labels, points.frame_box(prepared.frame), logits)


def _box_prompts(boxes: AnyArray, dense: FloatArray | None) -> Prompts:
    count = len(boxes)
    return Prompts(
        np.zeros((count, 1, 2), np.float32),
        np.full((count, 1), -1, np.int64),
        (boxes * (FRAME_PX / MAP_PX)).astype(np.float32),
        None if dense is None else np.repeat(dense[None], count, 0),
    )


def decode_finding(
    reading: Reading,
    encoded: EncodedSlice,
    placed: PlacedPrompts,
    slice_map: SliceMap | None,
    mask: MaskChoice | None,
) -> Finding:
    """Decode the prompts of a slice and choose the mask; several boxes are decoded together and united.

    mask: "1", "2", "3" or "auto", the mask with the highest predicted IoU; None = the preset's.
    """
    decoded = reading.model.decode(encoded.embedding, placed.prompts)
    masks, ious = native_masks(decoded, reading.prepared), decoded.predicted_iou.mean(0)
    masks = bounded(masks, reading.prepared.region(encoded.index), placed.shown_xy, placed.kind)
    mask = mask or reading.config.mask
    chosen = int(np.argmax(ious)) if mask == "auto" else int(mask) - 1
    areas = [float(one.sum()) * reading.prepared.plane.pixel_mm2 for one in masks]
    on_map = native_to_map(masks[chosen], reading.prepared.frame) > 0.5
    return Finding(
        mask=masks[chosen],
        cog_xy=(float(placed.shown_xy[0]), float(placed.shown_xy[1])),
        mask_index=str(chosen + 1),
        prompt=placed.kind,
        predicted_iou=float(ious[chosen]),
        area_mm2=areas[chosen],
        areas_mm2=tuple(areas),
        predicted_ious=tuple(float(iou) for iou in ious),
        score=0.0 if slice_map is None else float(slice_map.values[on_map].max(initial=0.0)),
    )


def native_masks(decoded: Decoded, prepared: PreparedVolume) -> AnyArray:
    """Return masks 1, 2, 3 united over the prompts, bool (3, H, W) in native pixels."""
    return np.asarray(frame_to_native(decoded.low_res_logits.max(0), prepared.frame) > 0)


def paper_config(reading: Reading) -> PaperConfig:
    """Return the config of a reading of this way."""
    assert isinstance(reading.config, PaperConfig)
    return reading.config
