"""One measured number with what it is compared to, and the file they are written to."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from MIASSAMLib.files import write_text

BENCH_FILE = "bench.json"


@dataclass(frozen=True)
class Row:
    """One row of bench.json.

    Attributes:
        benchmark: what was measured, in words.
        model: model it was measured with; "" when none took part.
        device: torch device in words.
        value: median of the runs, in `unit`.
        unit: "ms", "slices/s", "TFLOP/s", "MB", "" for plain ratios.
        baseline: the plain way's median, measured in turns with the value; None without one.
        ratio: how many times better than the baseline; None without one.
        runs: number of runs.
        spread: distance between the quartiles of the runs, in `unit`.
    """

    benchmark: str
    model: str
    device: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    runs: int = 1
    spread: float | None = None

    @classmethod
    def of_times(
        cls, benchmark: str, model: str, device: str, ours_s: Sequence[float], plain_s: Sequence[float] = ()
    ) -> Row:
        """Make a row of seconds, in ms; the ratio is plain / ours."""
        ours = 1e3 * statistics.median(ours_s)
        plain = 1e3 * statistics.median(plain_s) if plain_s else None
        ratio = None if plain is None else plain / ours
        return cls(benchmark, model, device, ours, "ms", plain, ratio, len(ours_s), 1e3 * quartile_distance(ours_s))


def quartile_distance(values: Sequence[float]) -> float:
    """Return the distance between the first and third quartile; 0 for fewer than two values."""
    if len(values) < 2:
        return 0.0
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return third - first


def write_rows(rows: Sequence[Row], machine: dict[str, Any], output: Path) -> Path:
    """Write bench.json and return its path."""
    path = output / BENCH_FILE
    data = {"machine": machine, "rows": [_rounded(asdict(row)) for row in rows]}
    write_text(path, json.dumps(data, indent=1) + "\n")
    return path


def read_rows(path: Path) -> tuple[dict[str, Any], list[Row]]:
    """Read what `write_rows` wrote."""
    data = json.loads(path.read_text(encoding="utf-8"))
    return data["machine"], [Row(**row) for row in data["rows"]]


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in row.items()}
