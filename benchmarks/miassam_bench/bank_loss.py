"""What a bank's search loses against the exact one: recall, inflation, and the anomaly maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from MIASSAMLib.arrays import AnyArray, FloatArray
from MIASSAMLib.bank.quality import exact_neighbors
from MIASSAMLib.bank.rows import squared_distances
from MIASSAMLib.config import preset
from MIASSAMLib.method.anomaly_map import anomaly_map, patch_scores

_SAVE_EVERY = 16
_PIECE_ROWS = 4096


class RowSource(Protocol):
    """Draws the rows of a bank, volume by volume."""

    def volumes(self, n_rows: int, skip: int = 0) -> Iterator[tuple[int, FloatArray]]:
        """Yield volume numbers and rows (N, D), without the first `skip` volumes."""
        ...


@dataclass(frozen=True)
class Found:
    """One slice of queries (Q, D), and the squared distances (Q,) and row numbers (Q,) a bank gave."""

    queries: FloatArray
    scores: FloatArray
    numbers: AnyArray


def loss_of(found: list[Found], truth: list[FloatArray], stored: list[FloatArray]) -> dict[str, Any]:
    """Return what was lost.

    Args:
        truth: exact squared distances (Q,) of every slice.
        stored: original rows (Q, D) of the neighbors that were found.
    """
    hits, inflations, correlations, config = [], [], [], preset("paper")
    for one, exact, rows in zip(found, truth, stored, strict=True):
        hits.append(squared_distances(one.queries, rows) <= exact * (1 + 1e-5))
        inflations.append(one.scores / exact - 1)
        maps = [anomaly_map(patch_scores(values, "l2"), config).ravel() for values in (one.scores, exact)]
        correlations.append(float(np.corrcoef(maps[0], maps[1]).flat[1]))
    inflation = np.concatenate(inflations)
    return {
        "recall_at_1": round(float(np.concatenate(hits).mean()), 5),
        "score_inflation_mean": round(float(inflation.mean()), 6),
        "score_inflation_p99": round(float(np.quantile(inflation, 0.99)), 5),
        "map_correlation": round(min(correlations), 6),
        "n_compared": len(inflation),
    }


def nearest_in_rows(flat: Any, found: list[Found]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return exact distances and the found neighbors' rows by a Faiss flat index of all rows."""
    nearest = [flat.reconstruct_batch(flat.search(one.queries, 1)[1][:, 0]) for one in found]
    truth = [squared_distances(one.queries, rows) for one, rows in zip(found, nearest, strict=True)]
    return truth, [flat.reconstruct_batch(one.numbers) for one in found]


def nearest_in_stream(
    source: RowSource, n_rows: int, found: list[Found], part: Path
) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return the same without an index, by going through all volumes once; what is done is kept in `part`.

    Every volume is searched in float32; short lists from bfloat16 products would miss one or two nearest rows
    in a hundred.
    """
    queries, numbers = (np.concatenate([getattr(one, name) for one in found]) for name in ("queries", "numbers"))
    best, stored = np.full(len(queries), np.inf, np.float32), np.zeros_like(queries)
    n_done, start = 0, 0
    if part.exists():
        with np.load(part, allow_pickle=False) as data:
            best, stored, n_done, start = data["best"], data["stored"], int(data["n_done"]), int(data["start"])
    for number, rows in source.volumes(n_rows, skip=n_done):
        pieces = (rows[first : first + _PIECE_ROWS] for first in range(0, len(rows), _PIECE_ROWS))
        nearest = rows[exact_neighbors(queries, pieces, np.zeros((len(queries), 2), np.int64))]
        np.minimum(best, squared_distances(queries, nearest), out=best)
        here = (numbers >= start) & (numbers < start + len(rows))
        stored[here] = rows[numbers[here] - start]
        start += len(rows)
        if (number + 1) % _SAVE_EVERY == 0:
            np.savez(part, best=best, stored=stored, n_done=number + 1, start=start)
    ends = np.cumsum([len(one.queries) for one in found])[:-1]
    return np.split(best, ends), np.split(stored, ends)
