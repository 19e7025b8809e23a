"""`miassam bench`: measure speed and memory on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path

from .progress import say

BENCHMARKS = ("encoder", "decoder", "bank", "end-to-end")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam bench`."""
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all without a name")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="fewer repeats and smaller sizes")


def run(arguments: argparse.Namespace) -> int:
    """Run benchmarks and write bench.json."""
    from ..benchmarking import run as run_benchmarks
    from ..volume_io import check_output_dir

    check_output_dir(arguments.output)
    names = tuple(arguments.names) or BENCHMARKS
    say(f"{run_benchmarks(names, arguments.output, arguments.quick)}")
    return 0
