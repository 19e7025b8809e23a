"""`miassam models list|fetch|verify|remove`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .progress import say, terminal_progress

EMBEDDED = "embedded"


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
    from ..sam.embedded import WEIGHTS_PATH

    rows = [_row("embedded", WEIGHTS_PATH, True, WEIGHTS_PATH.stat().st_size, "inside the package")]
    for status in list_checkpoints():
        words = "here" if status.is_present else f"not here; run: miassam models fetch {status.entry.name}"
        rows.append(_row(status.entry.name, status.path, status.is_present, status.n_bytes, words))
    if arguments.json:
        say(json.dumps(rows, indent=1))
    else:
        for row in rows:
            say(f"{row['name']:<9} {row['n_bytes'] / 1e6:8.1f} MB  {row['status']}")
    return 0


def _row(name: str, path: Path, is_present: bool, n_bytes: int, words: str) -> dict[str, Any]:
    return {"name": name, "path": str(path), "is_present": is_present, "n_bytes": n_bytes, "status": words}


def run_fetch(arguments: argparse.Namespace) -> int:
    """Download a model; a broken download goes on where it stopped."""
    if arguments.name == EMBEDDED:
        say("embedded is inside the package; there is nothing to download")
        return 0
    from ..checkpoints import fetch

    with terminal_progress() as progress:
        path = fetch(arguments.name, progress)
    say(f"{arguments.name} is at {path} and its SHA-256 is right")
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Compare a model with its SHA-256."""
    if arguments.name == EMBEDDED:
        from ..sam import load_model

        model = load_model(EMBEDDED, device="cpu")
        say(f"embedded is sound: SHA-256 {model.digest}")
        return 0
    from ..checkpoints import verify

    say(f"{verify(arguments.name)} is sound: its SHA-256 is the published one")
    return 0


def run_remove(arguments: argparse.Namespace) -> int:
    """Delete a downloaded model."""
    if arguments.name == EMBEDDED:
        raise UsageError("embedded is part of the package and is not removed; remove takes vit_b, vit_l or vit_h")
    from ..checkpoints import remove

    say(f"{arguments.name} was deleted" if remove(arguments.name) else f"{arguments.name} was not on this machine")
    return 0
