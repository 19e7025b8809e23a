"""Parse the command line and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .. import __version__
from ..errors import Cancelled, MiassamError, UsageError
from .progress import log_file, tell, traceback_words

COMMANDS = {
    "demo": "make phantom volumes, a bank and a segmentation; no network",
    "bank": "build, inspect and verify memory banks of normal anatomy",
    "segment": "find and outline what is abnormal",
    "correct": "outline one slice of a result again, from points or a box",
    "evaluate": "measure on labelled data, with baselines",
    "models": "list, fetch, verify and remove models",
    "bench": "measure speed and memory on this machine",
    "doctor": "say what this installation has and what it lacks",
}
EXIT_DONE, EXIT_FAILED, EXIT_USAGE, EXIT_UNEXPECTED = 0, 1, 2, 3
_EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 = all done, 1 = some or all failed, 2 = usage, 3 = a defect, 130 = interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        parser = build_parser(next((word for word in words if word in COMMANDS), ""))
        arguments = parser.parse_args(words)
        if not hasattr(arguments, "run"):
            parser.print_help()
            return EXIT_USAGE
        with log_file(getattr(arguments, "log", None)), _termination_as_interrupt():
            return _run(arguments)
    except UsageError as error:
        return _complain(error, EXIT_USAGE)


def _run(arguments: argparse.Namespace) -> int:
    try:
        return int(arguments.run(arguments))
    except UsageError as error:
        return _complain(error, EXIT_USAGE)
    except Cancelled:
        return _complain("cancelled; what was finished is kept", EXIT_FAILED)
    except MiassamError as error:
        return _complain(error, EXIT_FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", _EXIT_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ModuleNotFoundError as error:
        name = str(error.name).partition(".")[0]
        if name == __package__.partition(".")[0]:
            return _complain(traceback_words(error), EXIT_UNEXPECTED)
        return _complain(f"the Python package of {name} is not installed; `miassam doctor` lists what is", EXIT_FAILED)
    except Exception as error:  # the border of the process: a defect must reach the user as a sentence
        return _complain(traceback_words(error), EXIT_UNEXPECTED)


def build_parser(command: str = "") -> argparse.ArgumentParser:
    """Return the parser; only the named command's options are loaded, so that help comes at once."""
    parser = argparse.ArgumentParser(
        prog="miassam",
        description="Find and outline what is abnormal in an MRI, CT or OCT volume, having seen only normal "
        "anatomy. Research use only, not a medical device.",
    )
    parser.add_argument("--version", action="version", version=f"miassam {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for name, words in COMMANDS.items():
        child = commands.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
        if name == command:
            room = _room(name)
            room.add_arguments(child)
            if hasattr(room, "run"):
                child.set_defaults(run=room.run)
    return parser


def _room(command: str) -> Any:
    """Return the module of a command; the benchmarks are a package of their own."""
    if command != "bench":
        return importlib.import_module(f".{command}", __package__)
    try:
        return importlib.import_module("miassam_bench.command")
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the benchmarks are not part of this installation ({error}); install the package miassam, "
            "with requirements-test.txt, to measure"
        ) from error


@contextmanager
def _termination_as_interrupt() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl+C does, so that table and report of what is done are written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _complain(message: object, code: int) -> int:
    tell(str(message))
    return code
