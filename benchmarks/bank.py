"""Measure memory banks beside Faiss's IndexFlatL2, and what a build adds to the encoder's time.

python benchmarks/bank.py --patches 100000 1000000 --output DIR     each size is kept in DIR; repeat to go on
python benchmarks/bank.py --overhead vit_b --output DIR             only this
python benchmarks/bank.py --patches --output DIR                    table and plot of what DIR/bank.json holds

With OMP_NUM_THREADS=1 the processor milliseconds are those of one thread, which a busy machine does not change.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from miassam_bench.bank import BankCase, run_bank_case
from miassam_bench.bank_overhead import build_overhead

COLUMNS = {
    "features": "rows",
    "n_patches": "patches",
    "search_cpu_ms": "search, processor ms/slice",
    "flat_cpu_ms": "IndexFlatL2, processor ms",
    "speedup_cpu": "times less work",
    "search_ms": "search, wall ms/slice",
    "flat_ms": "IndexFlatL2, wall ms",
    "speedup": "times faster",
    "recall_at_1": "recall@1",
    "map_correlation": "map correlation",
    "score_inflation_mean": "mean inflation",
    "bytes": "bytes",
    "part_of_float32": "part of float32",
    "patches_per_cpu_s": "build patches per processor s",
    "build_peak_mb": "build peak MB",
    "search_peak_mb": "search peak MB",
}
OVERHEAD_VOLUMES = 2


def _tell(stage: str, done: int, total: int) -> None:
    sys.stderr.write(f"{stage} ({done}/{total})\n")


def table(rows: list[dict[str, Any]]) -> str:
    """Return the measured rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = [f"{row[key]:,}" if isinstance(row[key], int) else str(row[key]) for key in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw work and bytes against bank size for both ways, of the synthetic rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = sorted((row for row in rows if row["features"] == "synthetic"), key=lambda row: row["n_patches"])
    sizes = [row["n_patches"] for row in rows]
    figure, (work, space) = plt.subplots(1, 2, figsize=(10, 4))
    work.loglog(sizes, [row["flat_cpu_ms"] / 1000 for row in rows], "o-", label="IndexFlatL2")
    work.loglog(sizes, [row["search_cpu_ms"] / 1000 for row in rows], "s-", label="compressed")
    scaled = [row for row in rows if row["flat_scaled_from"] != row["n_patches"]]
    for row in scaled:
        place = (row["n_patches"], row["flat_cpu_ms"] / 1000)
        work.annotate("scaled", place, (-10, 4), textcoords="offset points", ha="right", fontsize=8)
    work.set(ylabel="processor seconds per slice (1,024 queries)", title="search")
    space.loglog(sizes, [4096 * size / 1e9 for size in sizes], "o-", label="float32")
    space.loglog(sizes, [row["bytes"] / 1e9 for row in rows], "s-", label="compressed, on disk")
    space.loglog(sizes, [row["build_peak_mb"] / 1000 for row in rows], "^:", label="peak memory of the build")
    space.loglog(sizes, [row["search_peak_mb"] / 1000 for row in rows], "v:", label="peak memory of a search")
    space.set(ylabel="GB", title="size")
    for axes, corner in ((work, "upper left"), (space, "lower right")):
        axes.set_xlabel("patches in the bank")
        axes.grid(True, which="major", alpha=0.4)
        axes.legend(loc=corner, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def measure_overhead(model: str, output: Path) -> int:
    """Print and keep what a build adds to the encoder's time."""
    rows = [build_overhead(model, OVERHEAD_VOLUMES, preset, output) for preset in ("paper", "refined")]
    (output / f"overhead_{model}.json").write_text(json.dumps(rows, indent=1))
    sys.stdout.write("\n".join(json.dumps(row) for row in rows) + "\n")
    return 0


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--compress", default="compressed", choices=["half", "compressed"])
    parser.add_argument("--features", default="synthetic", choices=["synthetic", "brain", "liver", "retina"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--query-slices", type=int, default=4)
    parser.add_argument("--overhead", metavar="MODEL", help="build from phantoms with this model, on one thread")
    parser.add_argument("--output", type=Path, required=True)
    return parser.parse_args()


def main() -> int:
    options = parse()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.overhead:
        return measure_overhead(options.overhead, options.output)
    kept = options.output / "bank.json"
    rows = json.loads(kept.read_text()) if kept.exists() else []
    for n_patches in options.patches:
        folder = options.output / f"banks_{options.features}_{options.compress}"
        row = run_bank_case(
            BankCase(folder, n_patches, options.compress, options.query_slices, options.runs, options.features),
            _tell,
        )
        own = ("n_patches", "features", "storage")
        rows = [other for other in rows if any(other[key] != row[key] for key in own)] + [row]
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()
        kept.write_text(json.dumps(rows, indent=1))
    (options.output / "bank.md").write_text(table(rows))
    plot(rows, options.output / "bank.png")
    sys.stdout.write(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
