"""The paper's way from a map to a mask: one prompt, three masks, the third is the segmentation."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, FloatArray
from ..config import FRAME_PX, MAP_PX, Config, MaskChoice, PromptKind
from ..protocols import Decoded, Prompts, SamModel
from ..volume.slice_image import frame_to_native, map_to_frame_xy
from .features import EncodedSlice
from .prepare import PreparedVolume
from .prompts import boxes_above, center_of_gravity, dense_prompt_logits, maximum_point
from .results import Finding
from .scoring import SliceMap


@dataclass(frozen=True)
class PlacedPrompts:
    """Prompts of one slice and the point shown to the user (px of the 1024 frame)."""

    prompts: Prompts
    point_xy: AnyArray
    kind: str


def prompts_of_map(slice_map: SliceMap, config: Config, kind: PromptKind) -> PlacedPrompts | None:
    """Place the prompts of a map; None when the map is constant and points nowhere.

    cog: center of gravity (paper 3.2); max: the maximum; box: a box for each part of the normalized
    map above `box_level` (Table 3), the center of gravity being shown as the point.
    """
    center = center_of_gravity(slice_map.normalized, config.gamma)
    if center is None:
        return None
    point = maximum_point(slice_map.normalized) if kind == "max" else center
    point_xy = map_to_frame_xy(np.asarray(point))
    dense = dense_prompt_logits(slice_map.normalized, config.dense_prompt_logit) if config.dense_prompt else None
    boxes = boxes_above(slice_map.normalized, config.box_level) if kind == "box" else None
    if boxes is None or not len(boxes):
        prompts = Prompts(
            point_xy.reshape(1, 1, 2), np.ones((1, 1), np.int64), mask_logits=None if dense is None else dense[None]
        )
        return PlacedPrompts(prompts, point_xy, "max" if kind == "max" else "cog")
    return PlacedPrompts(_box_prompts(boxes, dense), point_xy, "box")


def _box_prompts(boxes: AnyArray, dense: FloatArray | None) -> Prompts:
    count = len(boxes)
    corners = (boxes * (FRAME_PX / MAP_PX)).astype(np.float32)
    return Prompts(
        np.zeros((count, 1, 2), np.float32),
        np.full((count, 1), -1, np.int64),
        corners,
        None if dense is None else np.repeat(dense[None], count, 0),
    )


def user_prompts(points_frame_xy: AnyArray, labels: AnyArray) -> PlacedPrompts:
    """Make one prompt of a user's points (T, 2) in px of the 1024 frame, labels 1 inside, 0 outside."""
    points = np.asarray(points_frame_xy, np.float32).reshape(1, -1, 2)
    flags = np.asarray(labels, np.int64).reshape(1, -1)
    inside = points[0][flags[0] == 1]
    return PlacedPrompts(Prompts(points, flags), inside[0] if len(inside) else points[0, 0], "user")


def decode_finding(
    model: SamModel, encoded: EncodedSlice, placed: PlacedPrompts, prepared: PreparedVolume, mask: MaskChoice
) -> Finding:
    """Decode the prompts of a slice and choose the mask; several boxes are decoded together and united.

    mask: "1", "2", "3" or "auto", the mask with the highest predicted IoU.
    """
    decoded = model.decode(encoded.embedding, placed.prompts)
    masks = native_masks(decoded, prepared)
    ious = decoded.predicted_iou.mean(0)
    chosen = int(np.argmax(ious)) if mask == "auto" else int(mask) - 1
    return make_finding(masks, ious, chosen, placed, prepared)


def native_masks(decoded: Decoded, prepared: PreparedVolume) -> AnyArray:
    """Return masks 1, 2, 3 united over the prompts, bool (3, H, W) in native pixels."""
    logits = decoded.low_res_logits.max(0)
    return np.asarray(frame_to_native(logits, prepared.frame) > 0)


def make_finding(
    masks: AnyArray, ious: AnyArray, chosen: int, placed: PlacedPrompts, prepared: PreparedVolume, score: float = 0.0
) -> Finding:
    """Describe a decoded mask with its areas and its point."""
    pixel_mm2 = prepared.plane.pixel_mm2
    areas = [float(mask.sum()) * pixel_mm2 for mask in masks]
    native = prepared.frame.to_native_xy(placed.point_xy)
    return Finding(
        mask=masks[chosen],
        cog_xy=(float(native[0]), float(native[1])),
        point_frame_xy=(float(placed.point_xy[0]), float(placed.point_xy[1])),
        mask_index=str(chosen + 1),
        prompt=placed.kind,
        predicted_iou=float(ious[chosen]),
        area_mm2=areas[chosen],
        areas_mm2=tuple(areas),
        predicted_ious=tuple(float(iou) for iou in ious),
        score=score,
    )


def keep_pointed(finding: Finding, points_xy: AnyArray, prepared: PreparedVolume) -> Finding:
    """Return a finding with only the parts of its mask that hold one of the points (T, 2), native pixels.

    Specks elsewhere are not what the user pointed at. When no point lies on the mask nothing is dropped.
    """
    parts, count = ndimage.label(finding.mask, np.ones((3, 3)))
    columns, rows = np.round(np.asarray(points_xy, float).reshape(-1, 2)).astype(int).T
    pointed = np.setdiff1d(parts[rows, columns], 0)
    if count < 2 or not len(pointed):
        return finding
    mask = np.isin(parts, pointed)
    return replace(finding, mask=mask, area_mm2=float(mask.sum()) * prepared.plane.pixel_mm2)
