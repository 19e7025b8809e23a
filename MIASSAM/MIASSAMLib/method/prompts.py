"""From a map to prompts: no threshold, no text (paper sections 3.2 and 3.3, Table 3)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, DoubleArray, FloatArray
from ..config import FRAME_PX, MAP_PX, PromptKind, RefinedConfig
from ..volume import SliceFrame
from ..volume.slice_image import map_to_frame_xy

SAME_POINT_PX = 0.01
"""A point nearer than this to another is that point, carried through patient space and back."""


@dataclass(frozen=True)
class UserPrompts:
    """What is asked on a slice, in native pixels.

    Attributes:
        xy: points (T, 2).
        labels: int (T,), 1 inside and 0 outside.
        box_xyxy: a box (4,) round the thing, from the first pixel's edge to the last's, or None.
    """

    xy: DoubleArray
    labels: AnyArray
    box_xyxy: DoubleArray | None = None

    @classmethod
    def inside_at(cls, xy: AnyArray) -> UserPrompts:
        """Return one point inside."""
        return cls(np.asarray(xy, float).reshape(1, 2), np.ones(1, np.int64))

    @classmethod
    def nothing(cls) -> UserPrompts:
        """Return no point and no box."""
        return cls(np.zeros((0, 2)), np.zeros(0, np.int64))

    @property
    def inside(self) -> DoubleArray:
        """Points inside (n, 2)."""
        chosen: DoubleArray = self.xy[self.labels == 1]
        return chosen

    @property
    def shown_xy(self) -> DoubleArray:
        """The point (2,) that stands for all: the first inside, else the box's center."""
        if len(self.inside) or self.box_xyxy is None:
            first: DoubleArray = self.inside[0]
            return first
        return np.asarray((self.box_xyxy[:2] + self.box_xyxy[2:]) / 2)

    def frame_box(self, frame: SliceFrame) -> FloatArray | None:
        """Return the box float32 (1, 4) in px of a look's 1024 frame, None where there is none."""
        if self.box_xyxy is None:
            return None
        return np.asarray(frame.to_frame_xy(self.box_xyxy.reshape(2, 2)), np.float32).reshape(1, 4)

    def is_just(self, point_xy: AnyArray) -> bool:
        """Tell whether nothing is asked but this very point."""
        is_one = self.box_xyxy is None and list(self.labels) == [1]
        return is_one and bool(np.abs(self.xy[0] - point_xy).max() < SAME_POINT_PX)


@dataclass(frozen=True)
class Mark:
    """One thing that a user marks on one slice.

    Attributes:
        index: slice index.
        prompts: where it is.
        lesion: number of the lesion it belongs to, from 1.
    """

    index: int
    prompts: UserPrompts
    lesion: int = 1


def center_of_gravity(weights: AnyArray, gamma: float = 5.0) -> DoubleArray | None:
    """Return the center of gravity (x, y) of a map, weights raised to gamma (paper 3.2).

    weights: (H, W), not negative. Returns None for an all-zero map, which has no center.
    """
    values = np.asarray(weights, np.float64)
    peak = values.max(initial=0.0)
    if not peak > 0:
        return None
    mass = (values / peak) ** gamma
    total = mass.sum()
    y = (mass.sum(1) @ np.arange(mass.shape[0])) / total
    x = (mass.sum(0) @ np.arange(mass.shape[1])) / total
    return np.array([x, y])


def maximum_point(weights: AnyArray) -> DoubleArray | None:
    """Return the position (x, y) of the maximum, the first in reading order; None if nothing is positive."""
    values = np.asarray(weights)
    if not values.max(initial=0.0) > 0:
        return None
    y, x = np.unravel_index(int(np.argmax(values)), values.shape)
    return np.array([float(x), float(y)])


def boxes_above(normalized: AnyArray, level: float = 0.5) -> AnyArray:
    """Return boxes (n, 4) x0, y0, x1, y1 of the connected parts above a level (paper, Table 3).

    x1 and y1 lie one past the last pixel; parts are joined by edge or corner and listed from the
    last to the first in reading order of their first pixel, as in the published code.
    """
    labels, _ = ndimage.label(np.asarray(normalized) > level, structure=np.ones((3, 3), int))
    boxes = [(xs.start, ys.start, xs.stop, ys.stop) for ys, xs in ndimage.find_objects(labels)]
    return np.array(boxes[::-1], np.int64).reshape(-1, 4)


def dense_prompt_logits(normalized: FloatArray, logit: float) -> FloatArray:
    """Return SAM mask-input logits of a normalized map: 0 -> -logit, 1 -> +logit, linearly.

    The paper adds "dense embeddings obtained directly from the anomaly map" without a mapping; SAM's
    mask input expects low-resolution logits, so the map's range is stretched over them.
    """
    return np.asarray((2 * normalized - 1) * np.float32(logit), np.float32)


def cluster_point(values: FloatArray, cluster: BoolArray, level: float, kind: PromptKind, gamma: float) -> DoubleArray:
    """Return the point (x, y) of a cluster in map px: its center of gravity, or its maximum.

    A center that falls beside the cluster (a ring, a crescent) moves to the cluster's nearest pixel.

    Args:
        values: the map (256, 256).
        cluster: bool (256, 256).
        level: the cluster-forming level; what lies above it is the weight.
    """
    weights = np.where(cluster, np.maximum(values - level, 0), 0)
    point = maximum_point(weights) if kind == "max" else center_of_gravity(weights, gamma)
    if point is None:
        point = np.array(ndimage.center_of_mass(cluster))[::-1]
    x, y = np.clip(np.round(point).astype(int), 0, MAP_PX - 1)
    if cluster[y, x]:
        return np.asarray(point, np.float64)
    return nearest_pixel(cluster, point)


def nearest_pixel(mask: BoolArray, point_xy: AnyArray) -> DoubleArray:
    """Return the pixel (x, y) of a mask (H, W) that lies nearest to a point (x, y)."""
    ys, xs = np.nonzero(mask)
    nearest = np.argmin((xs - point_xy[0]) ** 2 + (ys - point_xy[1]) ** 2)
    return np.array([xs[nearest], ys[nearest]], float)


def quiet_points(values: FloatArray, cluster: BoolArray, point_xy: AnyArray, config: RefinedConfig) -> FloatArray:
    """Return up to four negative points (n, 2), frame px: the quietest tissue beside each side of a cluster.

    point_xy: the cluster's point, map px.
    """
    distance = ndimage.distance_transform_edt(~cluster)
    is_between = (distance > config.ring_px[0]) & (distance < config.ring_px[1])
    ys, xs = np.nonzero(is_between & (values < config.ring_quiet) & (values > -1.0))
    quadrant = (ys > point_xy[1]).astype(int) * 2 + (xs > point_xy[0])
    picked = []
    for number in range(4):
        members = np.flatnonzero(quadrant == number)
        if len(members):
            best = members[np.argmin(values[ys[members], xs[members]])]
            picked.append(map_to_frame_xy(np.array([xs[best], ys[best]])))
    return np.asarray(picked, np.float32).reshape(-1, 2)


def cluster_box(values: FloatArray, cluster: BoolArray, level: float, share: float) -> DoubleArray:
    """Return the box (4,) x0, y0, x1, y1 in frame px of the cluster's part above a share of its height."""
    peak = float(np.percentile(values[cluster], 95))
    core = cluster & (values >= level + share * (peak - level))
    ys, xs = np.nonzero(core if core.any() else cluster)
    return np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], float) * (FRAME_PX / MAP_PX)


def bounded(mask: BoolArray, region: BoolArray, inside_xy: DoubleArray, kind: str) -> BoolArray:
    """Return what of masks (..., H, W) lies in the region, unless the user points outside it."""
    columns, rows = np.round(np.asarray(inside_xy).reshape(-1, 2)).astype(int).T
    return mask if kind == "user" and not region[rows, columns].all() else mask & region
