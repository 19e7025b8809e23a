"""`miassam models list|fetch|verify|remove`."""

from __future__ import annotations

import argparse
import json

from ..errors import UsageError
from .progress import say, terminal_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `miassam models`."""
    commands = parser.add_subparsers(title="model commands", metavar="COMMAND", required=True)
    listing = commands.add_parser("list", help="say which models there are and which are on this machine")
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(run=run_list)
    for name, words, function in (
        ("fetch", "download a model into the cache folder", run_fetch),
        ("verify", "compare a model with its SHA-256", run_verify),
        ("remove", "delete a downloaded model", run_remove),
    ):
        child = commands.add_parser(name, help=words)
        child.add_argument("name", metavar="NAME")
        child.set_defaults(run=function)


def run(arguments: argparse.Namespace) -> int:
    """Reached only when a subcommand forgot to name its own function."""
    raise UsageError("name a models command: list, fetch, verify or remove")
