"""Memory banks of growing size: build rate, bytes, memory, search time and what the search loses."""

from __future__ import annotations

import dataclasses
import multiprocessing
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..anomaly_map import anomaly_map, patch_scores
from ..arrays import AnyArray, FloatArray
from ..config import preset
from ..memory_bank import BankWriter, ManifestDraft, MemoryBank, bank_info
from ..memory_bank.quality import exact_neighbors
from ..memory_bank.searcher import squared_distances
from ..protocols import Progress, no_progress
from .phantom_rows import PhantomRows
from .synthetic_rows import GRID, RowModel

PATCHES_PER_SLICE = GRID * GRID
HELD_OUT_VOLUME = 1_000_000
FLAT_LIMIT = 1_500_000
"""Above this many rows IndexFlatL2 is not built; its time is scaled from a smaller one."""


@dataclasses.dataclass(frozen=True)
class BankCase:
    """One measurement.

    Attributes:
        folder: scratch folder for the banks.
        n_patches: rows in the bank.
        compress: storage measured beside the exact one.
        n_query_slices: held-out slices of 1,024 queries.
        runs: timed searches per slice and bank, taken in turn.
        features: "synthetic", or a kind of phantom encoded by the embedded model.
    """

    folder: Path
    n_patches: int
    compress: str = "compressed"
    n_query_slices: int = 4
    runs: int = 3
    features: str = "synthetic"

    def rows(self) -> RowModel | PhantomRows:
        """Return where the rows come from."""
        return RowModel() if self.features == "synthetic" else PhantomRows(self.features)


def run_bank_case(case: BankCase, progress: Progress = no_progress) -> dict[str, Any]:
    """Build and search one size and return its row; each step has its own process, for its peak memory."""
    case.folder.mkdir(parents=True, exist_ok=True)
    has_flat = case.n_patches <= FLAT_LIMIT
    progress("building", 0, 3)
    built = _in_process(_build, case, case.compress)
    if has_flat:
        progress("building the exact bank", 1, 3)
        flat = _in_process(_build, dataclasses.replace(case, folder=case.folder / "flat"), "none")
    progress("searching", 2, 3)
    found = _in_process(_search, case) if has_flat else _in_process(_search_without_flat, case)
    progress("searching", 3, 3)
    row = {"n_patches": case.n_patches, "features": case.features, "storage": case.compress, **built, **found}
    if has_flat:
        row |= {"flat_build_s": flat["build_s"], "flat_bytes": flat["bytes"]}
    return row


def _build(case: BankCase, compress: str) -> dict[str, Any]:
    path = case.folder / f"{case.n_patches}.bank"
    for old in case.folder.glob(f"{path.name}*"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()
    add_s = 0.0
    writer = BankWriter(path, _draft(), compress=compress)  # type: ignore[arg-type]
    for number, rows in case.rows().volumes(case.n_patches):
        begin = time.perf_counter()
        writer.add(f"volume{number}", {"embedding": rows}, n_slices=len(rows) // PATCHES_PER_SLICE)
        add_s += time.perf_counter() - begin
    begin = time.perf_counter()
    writer.finish()
    finish_s = time.perf_counter() - begin
    kind = bank_info(path)["kinds"]["embedding"]
    slices = case.n_patches / PATCHES_PER_SLICE
    return {
        "build_s": round(add_s + finish_s, 2),
        "add_ms_per_slice": round(1000 * add_s / slices, 2),
        "finish_ms_per_slice": round(1000 * finish_s / slices, 2),
        "patches_per_s": round(case.n_patches / (add_s + finish_s)),
        "bytes": kind["n_bytes"],
        "part_of_float32": kind["part_of_float32"],
        "manifest_quality": {key: kind[key] for key in ("recall_at_1", "score_inflation_mean") if key in kind},
    }


def _search(case: BankCase) -> dict[str, Any]:
    import faiss

    bank = MemoryBank.load(case.folder / f"{case.n_patches}.bank", verify=False)
    flat = faiss.read_index(str(case.folder / "flat" / f"{case.n_patches}.bank" / "patches.faiss"))
    slices = list(_query_slices(case))
    bank_times, flat_times = [], []
    for queries in slices:
        for _ in range(case.runs):
            flat_times.append(_flat_seconds(flat, queries))
            bank_times.append(_search_seconds(bank, queries))
    nearest = [flat.reconstruct_batch(flat.search(queries, 1)[1][:, 0]) for queries in slices]
    truth = [squared_distances(queries, rows) for queries, rows in zip(slices, nearest, strict=True)]
    stored = [flat.reconstruct_batch(bank.search_neighbors("embedding", queries)[1]) for queries in slices]
    return {**_times(bank_times, flat_times, case), **_losses(bank, slices, truth, stored)}


def _search_without_flat(case: BankCase) -> dict[str, Any]:
    import faiss

    bank = MemoryBank.load(case.folder / f"{case.n_patches}.bank", verify=False)
    slices = list(_query_slices(case))
    first = _search_seconds(bank, slices[0])
    times = [_search_seconds(bank, rows) for rows in slices for _ in range(case.runs)]
    sample = np.concatenate([rows for _, rows in case.rows().volumes(100_000)])
    flat = faiss.IndexFlatL2(sample.shape[1])
    flat.add(sample)
    scale = case.n_patches / len(sample)
    flat_times = [scale * _flat_seconds(flat, slices[0]) for _ in range(3)]
    queries = np.concatenate(slices)
    found = np.concatenate([bank.search_neighbors("embedding", rows)[1] for rows in slices])
    nothing = np.zeros((len(queries), 2), np.int64)
    chunks = (rows for _, rows in case.rows().volumes(case.n_patches))
    nearest, stored = _rows_of(exact_neighbors(queries, chunks, nothing), found, case)
    truth = np.split(squared_distances(queries, nearest), len(slices))
    losses = _losses(bank, slices, truth, np.split(stored, len(slices)))
    return {**_times(times, flat_times, case), "first_search_ms": round(1000 * first), "flat_scaled": True, **losses}


def _rows_of(first: AnyArray, second: AnyArray, case: BankCase) -> tuple[FloatArray, FloatArray]:
    """Return the original rows of two lists of row numbers, by drawing all volumes again."""
    wanted, start = [np.empty((len(n), 1024), np.float32) for n in (first, second)], 0
    for _, rows in case.rows().volumes(case.n_patches):
        for numbers, out in zip((first, second), wanted, strict=True):
            here = (numbers >= start) & (numbers < start + len(rows))
            out[here] = rows[numbers[here] - start]
        start += len(rows)
    return wanted[0], wanted[1]


def _losses(
    bank: MemoryBank, slices: list[FloatArray], truth: list[FloatArray], stored: list[FloatArray]
) -> dict[str, Any]:
    """Return what the bank loses; `stored` are the original rows of the neighbors it found."""
    hits, inflations, correlations, config = [], [], [], preset("paper")
    for queries, exact, rows in zip(slices, truth, stored, strict=True):
        scores = bank.search("embedding", queries)
        hits.append(squared_distances(queries, rows) <= exact * (1 + 1e-5))
        inflations.append(scores / exact - 1)
        maps = [anomaly_map(patch_scores(values, config), config).ravel() for values in (scores, exact)]
        correlations.append(float(np.corrcoef(maps[0], maps[1]).flat[1]))
    inflation = np.concatenate(inflations)
    return {
        "recall_at_1": round(float(np.concatenate(hits).mean()), 5),
        "score_inflation_mean": round(float(inflation.mean()), 6),
        "score_inflation_p99": round(float(np.quantile(inflation, 0.99)), 5),
        "map_correlation": round(min(correlations), 6),
        "method": bank.search_method("embedding"),
    }


def _times(bank_s: list[float], flat_s: list[float], case: BankCase) -> dict[str, Any]:
    bank_ms, flat_ms = 1000 * statistics.median(bank_s), 1000 * statistics.median(flat_s)
    return {
        "search_ms": round(bank_ms, 1),
        "search_spread_ms": round(1000 * (max(bank_s) - min(bank_s)), 1),
        "flat_ms": round(flat_ms, 1),
        "speedup": round(flat_ms / bank_ms, 2),
        "runs": case.runs * case.n_query_slices,
    }


def _query_slices(case: BankCase) -> Iterator[FloatArray]:
    rows = case.rows().volume(HELD_OUT_VOLUME)
    step = len(rows) // PATCHES_PER_SLICE // case.n_query_slices
    for number in range(case.n_query_slices):
        start = (number * step + step // 2) * PATCHES_PER_SLICE
        yield rows[start : start + PATCHES_PER_SLICE]


def _draft() -> ManifestDraft:
    config = preset("paper")
    return ManifestDraft("paper", config.to_dict(), config.digest(), "synthetic rows", "0" * 64)


def _search_seconds(bank: MemoryBank, queries: FloatArray) -> float:
    begin = time.perf_counter()
    bank.search("embedding", queries)
    return time.perf_counter() - begin


def _flat_seconds(index: Any, queries: FloatArray) -> float:
    begin = time.perf_counter()
    index.search(queries, 1)
    return time.perf_counter() - begin


def _in_process(step: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        result, peak_mb = pool.apply(_with_peak, (step, arguments))
    kind = "build" if step is _build else "search"
    return {**result, f"{kind}_peak_mb": peak_mb}


def _with_peak(step: Callable[..., dict[str, Any]], arguments: tuple[Any, ...]) -> tuple[dict[str, Any], int]:
    result = step(*arguments)
    return result, _peak_memory_mb()


def _peak_memory_mb() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset >> 20)

    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // unit
