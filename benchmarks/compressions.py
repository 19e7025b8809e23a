"""Compare ways to make the short list of a compressed bank: python benchmarks/compressions.py --output DIR.

Scalar codes of principal axes (as the package builds them) beside product codes after an optimized
rotation, on the same rows, lists, held-out queries and re-scoring; and product codes without re-scoring,
and the exact search of half-precision rows. Processor time of one thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import torch
from miassam_bench.bank import BankCase
from MIASSAMLib.bank.codec import RowCodec, learn_codec
from MIASSAMLib.bank.compressed import CompressedSearcher, InvertedFile, _choose_lead, _tune
from MIASSAMLib.bank.quality import HeldOut, find_held_out, measure
from MIASSAMLib.bank.rows import Rows, rows_of_array
from MIASSAMLib.bank.search_torch import TorchSearcher

N_LISTS = 1024
TRAIN_PER_LIST = 20
COLUMNS = ("short list", "bytes in memory", "bytes on disk", "lists", "recall@1", "mean inflation", "ms", "training s")


class Lists(InvertedFile):
    """An inverted file behind an optional rotation."""

    def __init__(self, index: Any) -> None:
        super().__init__(SimpleNamespace(d=index.d, nlist=N_LISTS))
        self.whole, self.inner = index, faiss.extract_index_ivf(index)

    def _search(self, coordinates: Any, span: Any) -> Any:
        options: dict[str, Any] = {"nprobe": self.n_probe}
        if span is not None:
            options["sel"] = faiss.IDSelectorNot(faiss.IDSelectorRange(int(span[0]), int(span[1])))
        inside = faiss.SearchParametersIVF(**options)
        if isinstance(self.whole, faiss.IndexPreTransform):
            inside = faiss.SearchParametersPreTransform(index_params=inside)
        return self.whole.search(coordinates, self.n_short, params=inside)[1]


def short_lists(n_lead: int, n_axes: int, product_bytes: list[int]) -> dict[str, Any]:
    """Return untrained indexes by name; `n_lead` of `n_axes` axes is what the package chooses."""
    width = min(128, (n_axes + 1) // 64 * 64)
    scalar = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(n_lead + 1), n_lead + 1, N_LISTS, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, True
    )
    factories = {n: f"OPQ{n}_{min(2 * n, width)},IVF{N_LISTS},PQ{n}" for n in product_bytes}
    made = {f"OPQ + PQ {n} bytes": product_index(width, words) for n, words in factories.items()}
    return {f"SQ8 on {n_lead} axes and the rest (as built)": scalar, **made}


def product_index(width: int, words: str) -> Any:
    """Return an index whose rotation is learned in 10 rounds instead of 50, which would take minutes."""
    index = faiss.index_factory(width, words)
    rotation = faiss.downcast_VectorTransform(index.chain.at(0))
    rotation.niter, rotation.niter_pq_0 = 10, 10
    return index


def measure_list(index: Any, codec: RowCodec, rows: Rows, held_out: HeldOut, queries: Any) -> dict[str, Any]:
    """Train, fill, tune and time one kind of short list; the coded rows re-score it."""
    lists, codes, begin = Lists(index), [], time.process_time()
    sample = rows.at(np.sort(np.random.default_rng(0).choice(len(rows), N_LISTS * TRAIN_PER_LIST, replace=False)))
    lists.inner.cp.niter, lists.inner.cp.min_points_per_centroid = 8, 1
    index.train(lists.lead(*codec.rotate(sample)))
    training_s = time.process_time() - begin
    for chunk in rows.chunks():
        axes, energy = codec.rotate(chunk)
        index.add(lists.lead(axes, energy))
        codes.append(codec.encode(axes, energy))
    searcher = CompressedSearcher(codec, lists, np.concatenate(codes))
    quality = _tune(searcher, held_out, rows)
    return {
        "bytes in memory": int(lists.inner.code_size) + 8,
        "bytes on disk": codec.row_bytes,
        "lists": f"{lists.n_probe} of {N_LISTS}, {lists.n_short} re-scored",
        "training s": round(training_s, 1),
        **told(quality, searcher, queries),
    }


def told(quality: dict[str, Any], searcher: Any, queries: Any) -> dict[str, Any]:
    """Return the columns of quality and time."""
    times = []
    for rows in [rows for rows in queries for _ in range(3)]:
        begin = time.process_time()
        searcher.search(rows)
        times.append(time.process_time() - begin)
    return {
        "recall@1": quality["recall_at_1"],
        "mean inflation": quality["score_inflation_mean"],
        "ms": round(1000 * statistics.median(times)),
    }


class CodesAlone:
    """Product codes of whole rows, their distances taken as they are."""

    def __init__(self, rows: Rows, n_bytes: int) -> None:
        self.index = product_index(rows.dimension, f"OPQ{n_bytes}_{2 * n_bytes},IVF{N_LISTS},PQ{n_bytes}")
        self.inner = faiss.extract_index_ivf(self.index)
        self.inner.cp.niter, self.inner.nprobe = 8, 64
        self.index.train(
            rows.at(np.sort(np.random.default_rng(0).choice(len(rows), N_LISTS * TRAIN_PER_LIST, replace=False)))
        )
        for chunk in rows.chunks():
            self.index.add(chunk)

    def search(self, queries: Any) -> tuple[Any, Any]:
        distances, numbers = self.index.search(queries, 1)
        return distances[:, 0], numbers[:, 0]

    def search_excluding(self, queries: Any, excluded: Any) -> tuple[Any, Any]:
        distances, numbers = self.index.search(queries, 1024)
        own = (numbers >= excluded[:, :1]) & (numbers < excluded[:, 1:])
        first = (~own).argmax(axis=1)
        place = np.arange(len(queries))
        return distances[place, first], numbers[place, first]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, default=100_000)
    parser.add_argument("--features", default="synthetic", choices=["synthetic", "brain", "liver", "retina"])
    parser.add_argument("--product-bytes", type=int, nargs="*", default=[32, 64], help="bytes of the product codes")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
    case = BankCase(options.output, options.patches, n_query_slices=2, features=options.features)
    volumes = [rows for _, rows in case.rows().volumes(options.patches)]
    array = np.concatenate(volumes)
    rows = rows_of_array(array, np.cumsum([0, *map(len, volumes)]))
    held_out, queries = find_held_out(rows, seed=0), case.query_slices()
    sample = array[np.sort(np.random.default_rng(0).choice(len(array), min(50_000, len(array)), replace=False))]
    codec = learn_codec(sample, held_out.queries - held_out.nearest)
    table = []
    half = TorchSearcher(array.astype(np.float16), "cpu")
    row = {"short list": f"none: {half.name}", "bytes in memory": 2048, "bytes on disk": 2048, "lists": "all"}
    table.append({**row, "training s": 0, **told(measure(held_out, half.search_excluding, rows), half, queries)})
    sys.stdout.write(json.dumps(table[-1]) + "\n")
    for name, index in short_lists(_choose_lead(codec, held_out), codec.n_axes, options.product_bytes).items():
        table.append({"short list": name, **measure_list(index, codec, rows, held_out, queries)})
        sys.stdout.write(json.dumps(table[-1]) + "\n")
        sys.stdout.flush()
    for n in options.product_bytes:
        begin = time.process_time()
        alone = CodesAlone(rows, n)
        row = {"short list": f"OPQ + PQ {n} bytes, not re-scored", "bytes in memory": n + 8, "bytes on disk": 0}
        row |= {"lists": f"64 of {N_LISTS}", "training s": round(time.process_time() - begin, 1)}
        table.append({**row, **told(measure(held_out, alone.search_excluding, rows), alone, queries)})
    name = f"compressions_{options.features}_{options.patches}"
    (options.output / f"{name}.json").write_text(json.dumps(table, indent=1))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(str(row[column]) for column in COLUMNS) + " |" for row in table]
    (options.output / f"{name}.md").write_text("\n".join(lines) + "\n")
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
