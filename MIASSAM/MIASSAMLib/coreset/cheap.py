"""Coresets that look at no distance: at random, or evenly over the positions of the patch grid."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray
from ..errors import UsageError


def n_kept(n_rows: int, ratio: float) -> int:
    """Return how many of `n_rows` rows a coreset ratio keeps; at least one.

    Raises:
        UsageError: the ratio is not in (0, 1].
    """
    if not 0 < ratio <= 1:
        raise UsageError(f"coreset ratio is {ratio}; give a number above 0 and up to 1 (1 keeps every patch)")
    return min(max(round(n_rows * ratio), 1), n_rows)


def random_coreset(n_rows: int, ratio: float, seed: int) -> AnyArray:
    """Return ascending row numbers (K,) drawn evenly."""
    generator = np.random.default_rng(seed)
    return np.sort(generator.choice(n_rows, n_kept(n_rows, ratio), replace=False))


def stratified_coreset(positions: AnyArray, ratio: float, seed: int) -> AnyArray:
    """Return ascending row numbers (K,) with the same part of every position.

    Args:
        positions: int (N,), where in the patch grid each row comes from.
    """
    generator = np.random.default_rng(seed)
    wanted = n_kept(len(positions), ratio)
    shuffled = generator.permutation(len(positions))
    order = shuffled[np.argsort(positions[shuffled], kind="stable")]
    _, starts, counts = np.unique(positions[order], return_index=True, return_counts=True)
    rank = (np.arange(len(order)) - np.repeat(starts, counts) + 0.5) / np.repeat(counts, counts)
    return np.sort(order[np.argsort(rank, kind="stable")[:wanted]])
