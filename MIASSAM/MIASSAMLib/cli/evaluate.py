"""`miassam evaluate`: measure on labeled data, with baselines; the paper's tables by one command."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import PRESETS
from .arguments import add_log_argument, add_model_arguments, add_preprocessing_arguments, parse_window, preset_name
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..evaluation.options import EvaluateOptions

_PROMPTS = ("cog", "max", "box")
_MASKS = ("1", "2", "3", "auto")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam evaluate`."""
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--bmad", type=Path, metavar="ROOT", help="folder of BMAD, or of one of its data sets")
    source.add_argument("--cases", type=Path, metavar="CSV", help="your cases: case,image,mask,group,split,region")
    add("--output", required=True, type=Path, metavar="DIR", help="an earlier run in it is resumed")
    words = "test each group on a bank of the others' lesion-free slices"
    add("--leave-one-group-out", action="store_true", help=words)
    words = f"rows: {', '.join(PRESETS)}, or one with changes as refined:zoom=off,mask=3; none = brightness alone"
    add("--preset", nargs="+", type=_row_name, default=list(PRESETS), metavar="NAME", help=words)
    add("--no-bank", action="store_true", help="rows of each case compared with itself: its other side and tissue")
    words = "the same cases in further contrasts, such as T1c beside FLAIR: rows that join them"
    add("--with", nargs="+", type=Path, default=[], dest="contrasts", metavar="CSV", help=words)
    for name, choices in (("prompt", _PROMPTS), ("mask", _MASKS)):
        add(f"--{name}", nargs="+", choices=choices, default=choices, help="rows; default all")
    add_model_arguments(parser)
    add_preprocessing_arguments(parser)
    add("--binarize", choices=(">0", "==255"), default=">0", help="which mask pixels of BMAD are anomalous")
    add("--bank-step", type=int, default=1, metavar="N", help="only every Nth normal slice of a volume makes the bank")
    add_log_argument(parser)
    add("--tables", type=Path, metavar="FILE", help="write the tables to this file as well")
    add("--cache-gb", type=float, default=20.0, metavar="GB", help="disk for embeddings while it runs (default 20)")


def _row_name(text: str) -> str:
    return text if text == "none" else preset_name(text)


def run(arguments: argparse.Namespace) -> int:
    """Evaluate; return 0, or 1 when a case could not be used."""
    import json

    from ..evaluation.results import run_evaluation

    with terminal_progress() as progress:
        path = run_evaluation(options_of(arguments), progress)
    content = json.loads(path.read_text(encoding="utf-8"))
    for failed in content["failed"]:
        say(f"not used: {failed['case']}: {failed['reason']}")
    say(f"{path}\n{path.with_name('tables.md')}\n{path.with_name('report.html')}")
    return 1 if content["failed"] else 0


def options_of(arguments: argparse.Namespace) -> EvaluateOptions:
    """Return the options a command line asks for.

    Raises:
        UsageError: they contradict each other.
    """
    from ..evaluation.options import EvaluateOptions
    from ..method import Preprocessing

    modality = "" if arguments.modality == "auto" else arguments.modality
    return EvaluateOptions(
        output=arguments.output,
        bmad=arguments.bmad,
        cases=arguments.cases,
        leave_one_group_out=arguments.leave_one_group_out,
        presets=() if "none" in arguments.preset else tuple(arguments.preset),
        prompts=tuple(arguments.prompt),
        masks=tuple(arguments.mask),
        model=arguments.model,
        checkpoint=arguments.checkpoint,
        device=arguments.device,
        binarize=arguments.binarize,
        preprocessing=Preprocessing(arguments.axis, parse_window(arguments.window), modality),
        bank_step=arguments.bank_step,
        cache_gb=arguments.cache_gb,
        tables=arguments.tables,
        no_bank=arguments.no_bank,
        contrasts=tuple(arguments.contrasts),
        command=shlex.join(["miassam", *sys.argv[1:]]) if sys.argv[1:2] == ["evaluate"] else "",
    )
