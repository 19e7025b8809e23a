"""Memory banks of growing size: build rate, bytes, memory, search time and what the search loses."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.bank import BankWriter, ManifestDraft, MemoryBank, bank_info
from MIASSAMLib.config import preset
from MIASSAMLib.protocols import Progress, no_progress

from .bank_loss import Found, loss_of, nearest_in_rows, nearest_in_stream
from .phantom_rows import PhantomRows
from .synthetic_rows import GRID, RowModel

PATCHES_PER_SLICE = GRID * GRID
HELD_OUT_VOLUME = 1_000_000
FLAT_LIMIT = 1_500_000
"""Above this many rows IndexFlatL2 is not built; its time is scaled from one of 100,000 rows."""
_FLAT_SAMPLE = 100_000


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

    @property
    def bank_path(self) -> Path:
        """Where the bank of this case lies."""
        return self.folder / f"{self.n_patches}.bank"

    def rows(self) -> RowModel | PhantomRows:
        """Return where the rows come from."""
        return RowModel() if self.features == "synthetic" else PhantomRows(self.features)

    def query_slices(self) -> list[FloatArray]:
        """Return slices of a volume that is in no bank, (1024, D) each."""
        rows = self.rows().volume(HELD_OUT_VOLUME)
        step = len(rows) // PATCHES_PER_SLICE // self.n_query_slices
        starts = [(number * step + step // 2) * PATCHES_PER_SLICE for number in range(self.n_query_slices)]
        return [rows[start : start + PATCHES_PER_SLICE] for start in starts]


def run_bank_case(case: BankCase, progress: Progress = no_progress) -> dict[str, Any]:
    """Build and search one size and return its row.

    Each step has its own process, for its peak memory, and leaves its result in the folder: a run that
    is stopped goes on where it was.
    """
    case.folder.mkdir(parents=True, exist_ok=True)
    progress("building", 0, 4)
    row: dict[str, Any] = {"n_patches": case.n_patches, "features": case.features, "storage": case.compress}
    row |= _step("build", _build, case)
    if case.n_patches <= FLAT_LIMIT:
        progress("building the exact bank", 1, 4)
        exact = dataclasses.replace(case, folder=case.folder / "flat", compress="none")
        exact.folder.mkdir(exist_ok=True)
        flat = _step("build", _build, exact)
        row |= {"flat_build_s": flat["build_s"], "flat_bytes": flat["bytes"]}
    progress("searching", 2, 4)
    row |= _step("search", _search, case)
    progress("comparing with the exact search", 3, 4)
    row |= _step("exact", _compare, case)
    progress("comparing with the exact search", 4, 4)
    row["speedup"] = round(row["flat_ms"] / row["search_ms"], 2)
    row["speedup_cpu"] = round(row["flat_cpu_ms"] / row["search_cpu_ms"], 2)
    return row


def _step(name: str, step: Callable[[BankCase], dict[str, Any]], case: BankCase) -> dict[str, Any]:
    """Run a step in a process of its own, or read what an earlier run of it left."""
    note = case.folder / f"{case.n_patches}.{case.features}.{name}.json"
    if note.exists():
        return dict(json.loads(note.read_text()))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        result, peak_mb = pool.apply(_with_peak, (step, case))
    result[f"{name}_peak_mb"] = peak_mb
    note.write_text(json.dumps(result, indent=1))
    return result


def _build(case: BankCase) -> dict[str, Any]:
    """Build the bank, or go on with one that was interrupted; the time is then that of what was left."""
    timer, finish = _Timer(), _Timer()
    if case.bank_path.exists():
        shutil.rmtree(case.bank_path)
    with BankWriter(case.bank_path, _draft(), compress=case.compress) as writer:  # type: ignore[arg-type]
        n_resumed = writer.n_resumed
        for number, rows in case.rows().volumes(case.n_patches, skip=n_resumed):
            with timer:
                writer.add(f"volume{number}", {"embedding": rows}, n_slices=len(rows) // PATCHES_PER_SLICE)
        with finish:
            writer.finish()
    kind = bank_info(case.bank_path)["kinds"]["embedding"]
    slices = case.n_patches / PATCHES_PER_SLICE
    return {
        "build_s": round(timer.wall_s + finish.wall_s, 2),
        "build_cpu_s": round(timer.cpu_s + finish.cpu_s, 2),
        "add_cpu_ms_per_slice": round(1000 * timer.cpu_s / slices, 2),
        "finish_cpu_ms_per_slice": round(1000 * finish.cpu_s / slices, 2),
        "patches_per_s": round(case.n_patches / (timer.wall_s + finish.wall_s)),
        "patches_per_cpu_s": round(case.n_patches / (timer.cpu_s + finish.cpu_s)),
        "volumes_of_an_earlier_run": n_resumed,
        "bytes": kind["n_bytes"],
        "part_of_float32": kind["part_of_float32"],
        "manifest_quality": {key: kind[key] for key in ("recall_at_1", "score_inflation_mean") if key in kind},
    }


def _search(case: BankCase) -> dict[str, Any]:
    """Time the bank alone; the very first search also reads its rows from the disk."""
    bank = MemoryBank.load(case.bank_path, verify=False)
    slices, first, timer = case.query_slices(), _Timer(), _Timer()
    with first:
        bank.search("embedding", slices[0])
    for queries in [rows for rows in slices for _ in range(case.runs)]:
        with timer:
            bank.search("embedding", queries)
    return {
        "first_search_ms": round(1000 * first.wall_s),
        "search_alone_ms": timer.median_ms("walls"),
        "search_alone_cpu_ms": timer.median_ms("cpus"),
        "method": bank.search_method("embedding"),
    }


def _compare(case: BankCase) -> dict[str, Any]:
    """Time the bank and IndexFlatL2 in turns, and say what the bank loses against the exact search."""
    import faiss

    bank = MemoryBank.load(case.bank_path, verify=False)
    has_flat = case.n_patches <= FLAT_LIMIT
    if has_flat:
        flat = faiss.read_index(str(case.folder / "flat" / case.bank_path.name / "patches.faiss"))
    else:
        sample = np.concatenate([rows for _, rows in case.rows().volumes(_FLAT_SAMPLE)])
        flat = faiss.IndexFlatL2(sample.shape[1])
        flat.add(sample)
    slices, bank_timer, flat_timer = case.query_slices(), _Timer(), _Timer(case.n_patches / flat.ntotal)
    for queries in [rows for rows in slices for _ in range(case.runs)]:
        with flat_timer:
            flat.search(queries, 1)
        with bank_timer:
            bank.search("embedding", queries)
    found = [Found(queries, *bank.search_neighbors("embedding", queries)) for queries in slices]
    if has_flat:
        truth, stored = nearest_in_rows(flat, found)
    else:
        part = case.folder / f"{case.n_patches}.exact.npz"
        truth, stored = nearest_in_stream(case.rows(), case.n_patches, found, part)
    times = {
        "search_ms": bank_timer.median_ms("walls"),
        "search_cpu_ms": bank_timer.median_ms("cpus"),
        "search_spread_ms": round(1000 * (max(bank_timer.walls) - min(bank_timer.walls)), 1),
        "flat_ms": flat_timer.median_ms("walls"),
        "flat_cpu_ms": flat_timer.median_ms("cpus"),
        "flat_scaled_from": int(flat.ntotal),
        "runs": case.runs * case.n_query_slices,
    }
    return {**times, **loss_of(found, truth, stored)}


class _Timer:
    """Collects wall and processor seconds of `with` blocks, times a factor."""

    def __init__(self, factor: float = 1) -> None:
        self._factor = factor
        self.walls: list[float] = []
        self.cpus: list[float] = []

    def __enter__(self) -> None:
        self._begin = time.perf_counter(), time.process_time()

    def __exit__(self, *error: object) -> None:
        self.walls.append(self._factor * (time.perf_counter() - self._begin[0]))
        self.cpus.append(self._factor * (time.process_time() - self._begin[1]))

    @property
    def wall_s(self) -> float:
        """Seconds of all blocks."""
        return sum(self.walls)

    @property
    def cpu_s(self) -> float:
        """Processor seconds of all blocks, over all threads."""
        return sum(self.cpus)

    def median_ms(self, which: str) -> float:
        """Return the median of `walls` or `cpus` in milliseconds."""
        return round(1000 * float(statistics.median(getattr(self, which))), 1)


def _draft() -> ManifestDraft:
    config = preset("paper")
    return ManifestDraft("paper", config.to_dict(), config.digest(), "synthetic rows", "0" * 64)


def _with_peak(step: Callable[[BankCase], dict[str, Any]], case: BankCase) -> tuple[dict[str, Any], int]:
    result = step(case)
    return result, _peak_memory_mb()


def _peak_memory_mb() -> int:
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset >> 20)

    import resource

    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // unit
