"""Candidate masks of one cluster, and the choice among them by agreement with the map.

Prompts: the cluster's center of gravity alone, with negative points beside it, and with a box.
Each gives three masks. A mask agrees with the map when it covers the cluster and the map's high
values near it, and little else; predicted IoU alone prefers whole organs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import FRAME_PX, MAP_PX, MaskChoice, PromptKind
from ..prompting import center_of_gravity, maximum_point
from ..protocols import Decoded, Prompts, SamModel
from ..slice_image import frame_to_native, map_to_frame_xy
from .prepare import PreparedVolume
from .results import Finding

CLUSTER_GAMMA = 2.0
"""Exponent of the CoG weights inside a cluster; the map above the level is already sharp."""
MAP_FALLBACK = 0.4
"""Below this agreement no SAM mask is believed and the cluster itself is the segmentation."""
_NEAR_PX = 6
_RING_PX = (10, 24)
_QUIET = 1.0


@dataclass(frozen=True)
class Candidate:
    """One mask of one prompt: logits (256, 256), SAM's estimate, and agreement with the map."""

    logits: FloatArray
    predicted_iou: float
    agreement: float
    prompt: str
    mask_index: str


def cluster_point(values: FloatArray, cluster: BoolArray, level: float, kind: PromptKind) -> AnyArray:
    """Return the point (x, y) of a cluster in map px: its center of gravity, or its maximum.

    A center that falls beside the cluster (a ring, a crescent) moves to the cluster's nearest pixel.
    """
    weights = np.where(cluster, np.maximum(values - level, 0), 0)
    point = maximum_point(weights) if kind == "max" else center_of_gravity(weights, CLUSTER_GAMMA)
    if point is None:
        point = np.array(ndimage.center_of_mass(cluster))[::-1]
    x, y = np.clip(np.round(point).astype(int), 0, MAP_PX - 1)
    if cluster[y, x]:
        return np.asarray(point)
    ys, xs = np.nonzero(cluster)
    nearest = np.argmin((xs - point[0]) ** 2 + (ys - point[1]) ** 2)
    return np.array([xs[nearest], ys[nearest]], float)


def decode_candidates(
    model: SamModel, embedding: AnyArray, values: FloatArray, cluster: BoolArray, level: float, prompt: PromptKind
) -> tuple[list[Candidate], AnyArray]:
    """Return the candidate masks of a cluster and its point in px of the 1024 frame."""
    point = np.asarray(map_to_frame_xy(cluster_point(values, cluster, level, prompt)))
    negatives = quiet_points(values, cluster, point)
    points = np.concatenate([point[None], negatives]).astype(np.float32)
    labels = np.array([1] + [0] * len(negatives))
    alone = np.where(np.arange(len(labels)) == 0, 1, -1)
    by_points = Prompts(np.stack([points, points]), np.stack([alone, labels]))
    by_box = Prompts(
        point.reshape(1, 1, 2).astype(np.float32), np.ones((1, 1), np.int64), _box(values, cluster, level)
    )
    names = (("point", "point and negatives"), ("point and box",))
    if prompt == "box":
        decoded = [(model.decode(embedding, by_box), names[1])]
    else:
        decoded = [(model.decode(embedding, by_points), names[0]), (model.decode(embedding, by_box), names[1])]
    target = agreement_target(values, cluster)
    found = [item for answer, words in decoded for item in _candidates(answer, words, target, cluster)]
    return found, point


def agreement_target(values: FloatArray, cluster: BoolArray) -> FloatArray:
    """Return the soft target: the map near the cluster as a share of the cluster's peak, in [0, 1]."""
    peak = max(float(np.percentile(values[cluster], 95)), 1e-6)
    near = ndimage.binary_dilation(cluster, iterations=_NEAR_PX)
    return np.where(near, np.clip(values / peak, 0, 1), 0).astype(np.float32)


def agreement(mask: BoolArray, target: FloatArray, cluster: BoolArray) -> float:
    """Return the mean of the soft Dice with the map near the cluster and the Dice with the cluster."""
    size = float(mask.sum())
    soft = 2 * float(target[mask].sum()) / (size + float(target.sum()) + 1e-6)
    hard = 2 * float((mask & cluster).sum()) / (size + float(cluster.sum()) + 1e-6)
    return (soft + hard) / 2


def quiet_points(values: FloatArray, cluster: BoolArray, point_frame_xy: AnyArray) -> FloatArray:
    """Return up to four negative points (n, 2), frame px: the quietest tissue beside each side of a cluster."""
    distance = ndimage.distance_transform_edt(~cluster)
    ring = (distance > _RING_PX[0]) & (distance < _RING_PX[1]) & (values < _QUIET) & (values > -1.0)
    ys, xs = np.nonzero(ring)
    center = (point_frame_xy + 0.5) * MAP_PX / FRAME_PX - 0.5
    quadrant = (ys > center[1]).astype(int) * 2 + (xs > center[0])
    picked = []
    for number in range(4):
        members = np.flatnonzero(quadrant == number)
        if len(members):
            best = members[np.argmin(values[ys[members], xs[members]])]
            picked.append(map_to_frame_xy([xs[best], ys[best]]))
    return np.asarray(picked, np.float32).reshape(-1, 2)


def choose(candidates: Sequence[Candidate], mask: MaskChoice) -> Candidate:
    """Return the candidate with the best agreement, among the masks of one index if one is asked for."""
    allowed = [item for item in candidates if mask == "auto" or item.mask_index == mask]
    return max(allowed, key=lambda item: item.agreement)


def cluster_finding(
    model: SamModel,
    embedding: AnyArray,
    values: FloatArray,
    cluster: BoolArray,
    level: float,
    prepared: PreparedVolume,
    prompt: PromptKind,
    mask: MaskChoice,
) -> Finding:
    """Outline one cluster: decode its candidates, choose one, or fall back to the map itself."""
    candidates, point = decode_candidates(model, embedding, values, cluster, level, prompt)
    best = choose(candidates, mask)
    why = _ranking(candidates)
    same_prompt = [item for item in candidates if item.prompt == best.prompt]
    if mask == "auto" and best.agreement < MAP_FALLBACK:
        best = _map_outline(best, values, cluster, level)
        why = ("no SAM mask agreed with the map: the map's own outline was taken", *why)
    native = frame_to_native(np.stack([best.logits, *(item.logits for item in same_prompt)]), prepared.frame) > 0
    xy = prepared.frame.to_native_xy(point)
    areas = tuple(float(part.sum()) * prepared.plane.pixel_mm2 for part in native)
    return Finding(
        mask=native[0],
        cog_xy=(float(xy[0]), float(xy[1])),
        point_frame_xy=(float(point[0]), float(point[1])),
        mask_index=best.mask_index,
        prompt=prompt,
        predicted_iou=best.predicted_iou,
        area_mm2=areas[0],
        areas_mm2=areas[1:],
        predicted_ious=tuple(item.predicted_iou for item in same_prompt),
        score=float(values[cluster].max()),
        agreement=best.agreement,
        why=why,
    )


def _ranking(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the four best candidates in words, for the report."""
    return tuple(
        f"{item.prompt}, mask {item.mask_index}: agreement {item.agreement:.2f}, "
        f"predicted IoU {item.predicted_iou:.2f}"
        for item in sorted(candidates, key=lambda item: -item.agreement)[:4]
    )


def _map_outline(best: Candidate, values: FloatArray, cluster: BoolArray, level: float) -> Candidate:
    """Return the cluster itself as the mask, in place of a candidate that disagrees with the map."""
    logits = np.where(cluster, values - level, -1.0).astype(np.float32)
    agreed = agreement(cluster, agreement_target(values, cluster), cluster)
    return replace(best, logits=logits, mask_index="map", agreement=agreed)


def _candidates(decoded: Decoded, names: Sequence[str], target: FloatArray, cluster: BoolArray) -> list[Candidate]:
    found = []
    for row, name in enumerate(names):
        for column in range(3):
            logits = keep_touching(decoded.low_res_logits[row, column], cluster)
            iou = float(decoded.predicted_iou[row, column])
            found.append(Candidate(logits, iou, agreement(logits > 0, target, cluster), name, str(column + 1)))
    return found


def keep_touching(logits: FloatArray, cluster: BoolArray) -> FloatArray:
    """Return logits without the parts of the mask that do not touch the cluster: specks and other organs."""
    parts, count = ndimage.label(logits > 0)
    if count < 2:
        return logits
    touching = np.zeros(count + 1, bool)
    touching[np.unique(parts[cluster])] = True
    return np.where(touching[parts] | (parts == 0), logits, -np.abs(logits))


def _box(values: FloatArray, cluster: BoolArray, level: float) -> FloatArray:
    """Return the box (1, 4) of the cluster's part above half its peak, in px of the 1024 frame."""
    peak = float(np.percentile(values[cluster], 95))
    core = cluster & (values >= level + 0.5 * (peak - level))
    ys, xs = np.nonzero(core if core.any() else cluster)
    corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
    return (corners * (FRAME_PX / MAP_PX)).reshape(1, 4)
