"""The rows as a page: a table per benchmark, the machine, and a plot when matplotlib is there."""

from __future__ import annotations

import importlib.util
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from MIASSAMLib.files import write_text

from .rows import Row

REPORT_FILE, PLOT_FILE, GROWTH_FILE = "benchmarks.md", "benchmarks.png", "growth.png"
_BANK_SIZE = re.compile(r"end to end per slice, bank of ([\d,]+) patches")
_COLUMNS = ("benchmark", "model", "device", "value", "plain way", "times better", "runs", "spread")
_HEADER = f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}"

_LABEL_WIDTH = 52
_CLOCKS = {"wall": "wall time", "cpu": "processor time on one thread, since the machine was busy"}


def write_report(rows: Sequence[Row], machine: dict[str, Any], folder: Path) -> None:
    """Write benchmarks.md, and benchmarks.png when matplotlib is installed."""
    has_plot = importlib.util.find_spec("matplotlib") is not None and any(
        row.ratio for row in rows if row.unit == "ms"
    )
    if has_plot:
        draw_ratios(rows, folder / PLOT_FILE)
    has_growth = has_plot and draw_growth(rows, folder / GROWTH_FILE)
    text = report_text(rows, machine, PLOT_FILE if has_plot else "")
    write_text(folder / REPORT_FILE, text + (f"\n![Growth with the bank]({GROWTH_FILE})\n" if has_growth else ""))


def report_text(rows: Sequence[Row], machine: dict[str, Any], plot: str = "") -> str:
    """Return the page as Markdown."""
    rates = ", ".join(f"{value:g} TFLOP/s in {name}" for name, value in machine["matmul_tflops"].items())
    chip = machine["gpu"] or machine["chip"]
    parts = [
        f"Machine: {chip}, {machine['cores']} cores, {machine['memory_gb']:g} GB, "
        f"{', '.join(machine['cpu_features']) or 'no vector extensions known'}; matrix products: {rates}; "
        f"torch {machine['torch']}, {machine['threads']} threads; load {machine['load_at_start']} at the start; "
        f"{_CLOCKS[machine['clock']]}.",
        f"![Times better than the plain way]({plot})" if plot else "",
        "\n".join([_HEADER, *(_line(row) for row in rows)]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw_ratios(rows: Sequence[Row], path: Path) -> None:
    """Draw how many times better each timed row is than the plain way."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    compared = [row for row in rows if row.unit == "ms" and row.ratio]
    figure = Figure(figsize=(9, 0.6 + 0.35 * len(compared)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [textwrap.shorten(row.benchmark, _LABEL_WIDTH, placeholder=" ...") for row in compared]
    labels = [f"{name} [{row.model}]" if row.model else name for name, row in zip(names, compared)]
    bars = axes.barh(labels, [row.ratio or 0.0 for row in compared], color="#3a7ca5")
    axes.bar_label(bars, [f"{row.ratio:.1f}x  ({row.value:.0f} ms)" for row in compared], padding=3, fontsize=8)
    axes.axvline(1.0, color="gray", linewidth=1)
    axes.set_xlabel("times faster than the plain way (log)")
    axes.set_xscale("log")
    axes.set_xlim(0.5, 8 * max(row.ratio or 1.0 for row in compared))
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    figure.savefig(path, dpi=120)


def draw_growth(rows: Sequence[Row], path: Path) -> bool:
    """Draw the time per slice against the size of the bank for both ways; False where no model has two sizes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    points: dict[str, list[tuple[int, float, float]]] = {}
    for row in rows:
        if size := _BANK_SIZE.fullmatch(row.benchmark):
            found = (int(size[1].replace(",", "")), row.value / 1e3, (row.baseline or 0.0) / 1e3)
            points.setdefault(row.model, []).append(found)
    grown = {model: sorted(found) for model, found in points.items() if len(found) > 1}
    figure = Figure(figsize=(6, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, (model, measured) in enumerate(grown.items()):
        sizes, ours, plain = np.array(measured).T
        axes.loglog(sizes, ours, "o-", color=f"C{number}", label=model)
        axes.loglog(sizes, plain, "s:", color=f"C{number}", label=f"{model}, the plain way")
    if grown:
        axes.set(xlabel="patches in the bank", ylabel="seconds per slice")
        axes.grid(True, alpha=0.4)
        axes.legend(fontsize=8)
        figure.savefig(path, dpi=120)
    return bool(grown)


def _line(row: Row) -> str:
    baseline = "" if row.baseline is None else f"{_number(row.baseline)} {row.unit}"
    ratio = "" if row.ratio is None or row.unit == "" else f"{row.ratio:.2f}"
    spread = "" if row.spread is None else _number(row.spread)
    value = f"{_number(row.value)} {row.unit}".strip()
    cells = (row.benchmark, row.model, row.device, value, baseline.strip(), ratio, str(row.runs), spread)
    return "| " + " | ".join(cells) + " |"


def _number(value: float) -> str:
    return f"{value:.6f}" if 0.9 < value < 1 else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
