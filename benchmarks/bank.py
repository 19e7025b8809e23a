"""Measure memory banks beside Faiss's IndexFlatL2: python benchmarks/bank.py --patches 100000 --output DIR."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from MIASSAMLib.benchmarking.bank import BankCase, run_bank_case

COLUMNS = {
    "features": "rows",
    "n_patches": "patches",
    "search_ms": "search ms/slice",
    "flat_ms": "IndexFlatL2 ms",
    "speedup": "times faster",
    "recall_at_1": "recall@1",
    "map_correlation": "map correlation",
    "score_inflation_mean": "mean inflation",
    "part_of_float32": "part of float32",
    "patches_per_s": "build patches/s",
    "build_peak_mb": "build peak MB",
    "search_peak_mb": "search peak MB",
}


def _tell(stage: str, done: int, total: int) -> None:
    sys.stderr.write(f"{stage} ({done}/{total})\n")


def table(rows: list[dict[str, object]]) -> str:
    """Return the measured rows as a Markdown table."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows:
        cells = [f"{row[key]:,}" if isinstance(row[key], int) else str(row[key]) for key in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(rows: list[dict[str, object]], path: Path) -> None:
    """Draw search time against bank size for both ways."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 4))
    sizes = [row["n_patches"] for row in rows]
    axes.loglog(sizes, [row["flat_ms"] for row in rows], "o-", label="IndexFlatL2")
    axes.loglog(sizes, [row["search_ms"] for row in rows], "s-", label="compressed")
    axes.set(xlabel="patches in the bank", ylabel="ms per slice (1,024 queries)")
    axes.grid(True, which="both", alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patches", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--compress", default="compressed", choices=["half", "compressed"])
    parser.add_argument("--features", default="synthetic", choices=["synthetic", "brain", "liver", "retina"])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--query-slices", type=int, default=4)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    rows = []
    for n_patches in options.patches:
        case = BankCase(
            options.output / "banks",
            n_patches,
            options.compress,
            options.query_slices,
            options.runs,
            options.features,
        )
        rows.append(run_bank_case(case, _tell))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
        (options.output / "bank.json").write_text(json.dumps(rows, indent=1))
        (options.output / "bank.md").write_text(table(rows))
    plot(rows, options.output / "bank.png")
    sys.stdout.write(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
