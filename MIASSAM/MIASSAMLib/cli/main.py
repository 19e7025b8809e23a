"""Parse the command line and turn errors into sentences and exit codes."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from .. import __version__
from ..errors import Cancelled, MiassamError, UsageError

COMMANDS = {
    "demo": "make phantom volumes, a bank and a segmentation; no network",
    "bank": "build, inspect and verify memory banks of normal anatomy",
    "segment": "find and outline what is abnormal",
    "evaluate": "measure on labelled data, with baselines",
    "models": "list, fetch, verify and remove models",
    "bench": "measure speed and memory on this machine",
}
EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2
_EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0 = all done, 1 = some or all failed, 2 = usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser(next((word for word in words if word in COMMANDS), ""))
    try:
        arguments = parser.parse_args(words)
        if not hasattr(arguments, "run"):
            parser.print_help()
            return EXIT_USAGE
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
            room = importlib.import_module(f".{name}", __package__)
            room.add_arguments(child)
            child.set_defaults(run=room.run)
    return parser


def _complain(message: object, code: int) -> int:
    sys.stderr.write(f"miassam: {message}\n")
    return code
