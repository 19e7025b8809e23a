"""`miassam models list|fetch|verify|remove`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..sam.registry import find_model
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..checkpoints import CheckpointStatus


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


def run_list(arguments: argparse.Namespace) -> int:
    """Print the models and whether they are on this machine."""
    from ..checkpoints import list_checkpoints

    rows = [_row(status) for status in list_checkpoints()]
    if arguments.json:
        say(json.dumps(rows, indent=1))
    else:
        for row in rows:
            size = f"{row['n_bytes'] / 1e6:8.1f} MB" if row["n_bytes"] else f"{'-':>11}"
            say(f"{row['name']:<9} {size}  {row['words']}; {row['status']}")
    return 0


def _row(status: CheckpointStatus) -> dict[str, Any]:
    entry = status.entry
    if entry.is_shipped:
        words = "inside the package"
    elif status.is_present:
        words = "here"
    elif entry.is_downloadable:
        words = f"not here; run: miassam models fetch {entry.name} ({entry.about})"
    else:
        words = f"give its file with --checkpoint{f'; it is at {entry.url}' if entry.url else ''}"
    return {
        "name": entry.name, "words": entry.words, "path": str(status.path), "is_present": status.is_present,
        "n_bytes": status.n_bytes, "status": words,
    }  # fmt: skip


def run_fetch(arguments: argparse.Namespace) -> int:
    """Download a model; a broken download goes on where it stopped."""
    from ..checkpoints import fetch

    if find_model(arguments.name).is_shipped:
        say(f"{arguments.name} is inside the package; there is nothing to download")
        return 0
    with terminal_progress() as progress:
        path = fetch(arguments.name, progress)
    say(f"{arguments.name} is at {path} and its SHA-256 is right")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Compare a model with its SHA-256."""
    from ..checkpoints import verify

    say(f"{verify(arguments.name)} is sound: its SHA-256 is the published one")
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    """Delete a downloaded model."""
    from ..checkpoints import remove

    say(f"{arguments.name} was deleted" if remove(arguments.name) else f"{arguments.name} was not on this machine")
    return 0
