"""Where a cluster's prompts go: its point, quiet points beside it, its box."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import FRAME_PX, MAP_PX, PromptKind
from ..volume.slice_image import map_to_frame_xy
from .prompts import center_of_gravity, maximum_point

CLUSTER_GAMMA = 2.0
"""Exponent of the CoG weights inside a cluster; the map above the level is already sharp."""
_RING_PX = (10, 24)
_QUIET = 1.0


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
            picked.append(map_to_frame_xy(np.array([xs[best], ys[best]])))
    return np.asarray(picked, np.float32).reshape(-1, 2)


def cluster_box(values: FloatArray, cluster: BoolArray, level: float) -> FloatArray:
    """Return the box (1, 4) of the cluster's part above half its peak, in px of the 1024 frame."""
    peak = float(np.percentile(values[cluster], 95))
    core = cluster & (values >= level + 0.5 * (peak - level))
    ys, xs = np.nonzero(core if core.any() else cluster)
    corners = np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], np.float32)
    return (corners * (FRAME_PX / MAP_PX)).reshape(1, 4)
