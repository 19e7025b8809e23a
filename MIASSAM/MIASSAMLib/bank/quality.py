"""How much a search loses: measured on rows whose own source is left out, so normal and held out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from .rows import Rows, squared_distances

N_QUERIES = 512
_SAME = 1e-4
"""Relative difference of squared distances below which two neighbors count as equally near."""


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """Held-out normal rows and their true neighbors.

    Attributes:
        queries: float32 (Q, D).
        excluded: int64 (Q, 2), the half-open range of bank rows of each query's own source.
        neighbors: int64 (Q,), the nearest row of another source.
        nearest: float32 (Q, D), those rows.
        distances: float32 (Q,), squared.
        unit: what was left out, "source" or, in a bank of one source, "row".
    """

    queries: FloatArray
    excluded: AnyArray
    neighbors: AnyArray
    nearest: FloatArray
    distances: FloatArray
    unit: str = "source"


ExcludingSearch = Callable[[FloatArray, AnyArray], tuple[FloatArray, AnyArray]]
"""search(queries (Q, D), excluded (Q, 2)) -> reported squared distances (Q,), row numbers (Q,)."""


def find_held_out(rows: Rows, seed: int, n_queries: int = N_QUERIES) -> HeldOut:
    """Draw rows and find each one's true neighbor in the other sources, exactly.

    Of a single source nothing is left out but the row itself.
    """
    generator = np.random.default_rng(seed)
    picked = np.sort(generator.choice(len(rows), min(n_queries, len(rows)), replace=False))
    excluded = _own_ranges(rows.bounds, picked)
    queries = rows.at(picked)
    neighbors = exact_neighbors(queries, rows.chunks(), excluded)
    nearest = rows.at(neighbors)
    unit = "source" if len(rows.bounds) > 2 else "row"
    return HeldOut(queries, excluded, neighbors, nearest, squared_distances(queries, nearest), unit)


def _own_ranges(bounds: AnyArray, picked: AnyArray) -> AnyArray:
    if len(bounds) <= 2:
        return np.stack([picked, picked + 1], axis=1)
    source = np.searchsorted(bounds, picked, side="right") - 1
    return np.stack([bounds[source], bounds[source + 1]], axis=1)


def exact_neighbors(queries: FloatArray, chunks: Iterable[FloatArray], excluded: AnyArray) -> AnyArray:
    """Return the row number (Q,) of the nearest row outside each query's excluded range.

    Where that leaves nothing, it is the first number of the range.
    """
    center = queries.mean(axis=0)
    centered_queries = np.ascontiguousarray((queries - center).T)
    best, winners, start = np.full(len(queries), np.inf, np.float32), excluded[:, 0].copy(), 0
    for chunk in chunks:
        centered = chunk - center
        scores = np.einsum("nd,nd->n", centered, centered)[:, None] - 2 * (centered @ centered_queries)
        mask_excluded(scores, excluded - start)
        rows = scores.argmin(axis=0)
        lowest = scores[rows, np.arange(len(queries))]
        better = lowest < best
        best[better], winners[better] = lowest[better], rows[better] + start
        start += len(chunk)
    return np.asarray(winners)


def mask_excluded(scores: Any, excluded: AnyArray) -> None:
    """Set scores (N, Q), of NumPy or torch, to infinity in each query's excluded range of rows (Q, 2)."""
    for first, last in np.unique(excluded, axis=0).tolist():
        if last > 0 and first < len(scores):
            own = np.flatnonzero((excluded == (first, last)).all(axis=1)).tolist()
            scores[max(first, 0) : last, own] = np.inf


def measure(held_out: HeldOut, search: ExcludingSearch, rows: Rows) -> dict[str, Any]:
    """Return what a search loses against the truth.

    `recall_at_1` counts a neighbor as found when none is nearer; the inflation is the relative excess of
    the reported squared distance, which only ever errs upwards when a neighbor is missed.
    """
    reported, found = search(held_out.queries, held_out.excluded)
    true = squared_distances(held_out.queries, rows.at(np.maximum(found, 0)))
    hit = (found == held_out.neighbors) | (true <= held_out.distances * (1 + _SAME))
    inflation = reported / np.maximum(held_out.distances, 1e-12) - 1
    return {
        "n_queries": len(found),
        "held_out": held_out.unit,
        "recall_at_1": round(float(hit.mean()), 5),
        "score_inflation_mean": round(float(inflation.mean()), 6),
        "score_inflation_p99": round(float(np.quantile(inflation, 0.99)), 6),
        "score_correlation": round(_correlation(reported, held_out.distances), 7),
    }


def _correlation(first: FloatArray, second: FloatArray) -> float:
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return float(np.array_equal(first, second))
    return float(np.corrcoef(first, second)[0, 1])
