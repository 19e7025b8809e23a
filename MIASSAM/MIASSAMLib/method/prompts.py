"""Point, box and dense prompts of one map (paper sections 3.2 and 3.3, Table 3)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, DoubleArray, FloatArray


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
