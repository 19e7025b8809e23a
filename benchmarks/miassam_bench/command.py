"""`miassam bench`: measure speed and memory on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from MIASSAMLib.cli.progress import say, terminal_progress

BENCHMARKS = ("encoder", "decoder", "bank", "end-to-end")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam bench`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all without a name")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="fewer repeats and smaller sizes")
    parser.add_argument("--model", action="append", metavar="M", help="model to measure, may be repeated")
    parser.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time on one thread, for a machine that others use"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run benchmarks and write bench.json, benchmarks.md and benchmarks.png."""
    from . import BenchOptions
    from . import run as run_benchmarks

    models = tuple(arguments.model) if arguments.model else None
    options = BenchOptions(arguments.quick, arguments.device, arguments.cpu_time, models)
    with terminal_progress() as progress:
        rows = run_benchmarks(tuple(arguments.names), arguments.output, options, progress)
    for row in rows:
        better = f"  {row.ratio:.2f} times better than the plain way" if row.ratio and row.unit else ""
        say(f"{row.benchmark} {row.model}: {row.value:.6g} {row.unit}{better}")
    say(f"written to {arguments.output / 'bench.json'} and {arguments.output / 'benchmarks.md'}")
    return 0
