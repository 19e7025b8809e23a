"""Greedy k-center: each new center is the row farthest from all centers so far."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..protocols import Progress, no_progress
from .cheap import n_kept

PROJECTED_DIMENSION = 128
_TELL_EVERY = 256


def greedy_coreset(
    rows: FloatArray, ratio: float, seed: int, progress: Progress = no_progress, n_wanted: int = 0
) -> AnyArray:
    """Return row numbers (K,) in the order they were picked; the first is drawn from the seed.

    Memory grows with N, never with N x N: one distance per row is kept.

    Args:
        rows: (N, D); distances are taken after `project`.
        n_wanted: keep this many instead of a part.
    """
    points = project(rows, seed)
    wanted = min(n_wanted, len(points)) or n_kept(len(points), ratio)
    picked = np.empty(wanted, np.int64)
    picked[0] = np.random.default_rng(seed).integers(len(points))
    nearest = np.full(len(points), np.inf, np.float32)
    norms = np.einsum("nd,nd->n", points, points)
    for place in range(1, wanted):
        center = picked[place - 1]
        distances = norms - 2 * (points @ points[center]) + norms[center]
        np.minimum(nearest, distances, out=nearest)
        nearest[center] = -np.inf
        picked[place] = nearest.argmax()
        if place % _TELL_EVERY == 0:
            progress("choosing patches", place, wanted)
    return picked


def project(rows: FloatArray, seed: int) -> FloatArray:
    """Return centered rows on at most 128 random directions, which keeps distances up to a few percent."""
    if rows.shape[1] <= PROJECTED_DIMENSION:
        return np.asarray(rows - rows.mean(axis=0), np.float32)
    projected = rows @ directions(rows.shape[1], seed)
    return np.asarray(projected - projected.mean(axis=0), np.float32)


def directions(dimension: int, seed: int) -> FloatArray:
    """Return random directions (D, 128), scaled so that squared distances keep their mean."""
    generator = np.random.default_rng([seed, dimension])
    drawn = generator.standard_normal((dimension, PROJECTED_DIMENSION)) / np.sqrt(PROJECTED_DIMENSION)
    return np.asarray(drawn, np.float32)
