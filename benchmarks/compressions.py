"""Compare Faiss index strings for a compressed bank: python benchmarks/compressions.py --output DIR.

Each string is searched for the nearest row alone, or (a `+` in its name) makes a short list that codes of
another string re-score, as the package does. Queries are slices of a volume that is not in the bank; the
times are processor times of one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from miassam_bench.bank import BankCase
from MIASSAMLib.bank.compressed import CompressedSearcher
from MIASSAMLib.bank.quality import exact_neighbors
from MIASSAMLib.bank.rows import rows_of_array, squared_distances

COLUMNS = (
    "index",
    "bytes",
    "in memory",
    "n_probe",
    "recall@1",
    "mean inflation",
    "p99 inflation",
    "correlation",
    "ms",
)
ALONE = (
    "PCA128,IVF{n},SQ8",
    "PCA192,IVF{n},SQ8",
    "PCA192,IVF{n},SQfp16",
    "PCA384,IVF{n},SQfp16",
    "OPQ32_64,IVF{n},PQ32",
)
RESCORED = (
    "PCA64,IVF{n},SQ8 + SQ8",
    "PCA64,IVF{n},SQ8 + SQfp16",
    "PCA32,IVF{n},SQ8 + SQ8",
    "OPQ32_64,IVF{n},PQ32 + SQ8",
)
N_PROBES = (16, 32, 64)
TRAIN_ROWS = 50_000


def trained(words: str, rows: Any) -> Any:
    """Return an index of these words with all rows in it."""
    index = faiss.index_factory(rows.shape[1], words)
    inverted = faiss.try_extract_index_ivf(index)
    if inverted:
        inverted.cp.niter, inverted.cp.min_points_per_centroid = 8, 1
    index.train(rows[np.sort(np.random.default_rng(0).choice(len(rows), min(TRAIN_ROWS, len(rows)), replace=False))])
    return index


def searchers(rows: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield what is known of a way to search, and the way."""
    n_lists = int(2 ** round(np.log2(4 * np.sqrt(len(rows)))))
    for words in (*ALONE, *RESCORED):
        short, _, code = words.format(n=n_lists).partition(" + ")
        index = trained(short, rows)
        index.add(rows)
        inverted = faiss.extract_index_ivf(index)
        known = {"index": words.format(n=n_lists), "in memory": int(inverted.code_size) + 8}
        known["bytes"] = known["in memory"]
        if code:
            codes = trained(code, rows)
            codes.add(rows)
            known["bytes"] += codes.code_size
        for n_probe in N_PROBES:
            inverted.nprobe = n_probe
            search = CompressedSearcher(index, codes, (n_probe, 32)).search if code else alone(index)
            yield {**known, "n_probe": n_probe}, search


def alone(index: Any) -> Any:
    """Return a search by the index's own distances."""

    def search(queries: Any) -> tuple[Any, Any]:
        distances, numbers = index.search(queries, 1)
        return distances[:, 0], numbers[:, 0]

    return search


def measure(search: Any, slices: list[Any], exact: Any, rows: Any) -> dict[str, Any]:
    """Return what a search loses, and its time for a slice."""
    times, found = [], []
    for queries in slices:
        begin = time.process_time()
        found.append(search(queries))
        times.append(time.process_time() - begin)
    distances, numbers = (np.concatenate(parts) for parts in zip(*found, strict=True))
    true = squared_distances(np.concatenate(slices), rows[np.maximum(numbers, 0)])
    inflation = distances / np.maximum(exact, 1e-12) - 1
    return {
        "recall@1": round(float((true <= exact * (1 + 1e-4)).mean()), 4),
        "inflation": round(float(inflation.mean()), 5),
        "inflation p99": round(float(np.quantile(inflation, 0.99)), 4),
        "correlation": round(float(np.corrcoef(distances, exact)[0, 1]), 6),
        "ms": round(1000 * statistics.median(times)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--features", default="synthetic", choices=["synthetic", "brain", "liver", "retina"])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    faiss.omp_set_num_threads(1)
    case = BankCase(options.output, options.patches, n_query_slices=2, features=options.features)
    rows = np.concatenate([part for _, part in case.rows().volumes(options.patches)])
    slices = case.query_slices()
    queries = np.concatenate(slices)
    nearest = exact_neighbors(queries, rows_of_array(rows).chunks(), np.zeros((len(queries), 2), np.int64))
    exact, table = squared_distances(queries, rows[nearest]), []
    for known, search in searchers(rows):
        table.append({**known, **measure(search, slices, exact, rows)})
        sys.stdout.write(json.dumps(table[-1]) + "\n")
        sys.stdout.flush()
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[column]) for column in COLUMNS) + " |" for row in table]
    name = f"compressions_{options.features}_{options.patches}"
    (options.output / f"{name}.json").write_text(json.dumps(table, indent=1))
    (options.output / f"{name}.md").write_text("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
