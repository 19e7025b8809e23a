"""Run the campaigns: `python -m faults.campaign inputs --tries 3000 --seed 0` (in Testing)."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

from MIASSAMLib import volume_io  # noqa: F401  (loaded once, before the children are forked)


def run_inputs(n_tries: int, seed: int, folder: Path):
    """Damaged inputs."""
    from .inputs import try_inputs
    from .seeds import make_seeds

    return try_inputs(make_seeds(folder / "seeds"), n_tries, seed, folder)


def run_messages(n_tries: int, seed: int, folder: Path):
    """Bad messages to the worker."""
    from .worker import try_messages

    return try_messages(n_tries, seed, folder)


def run_banks(n_tries: int, seed: int, folder: Path):
    """Damaged and forged bank folders."""
    from .banks import try_banks

    return try_banks(n_tries, seed, folder)


CAMPAIGNS = {"inputs": run_inputs, "messages": run_messages, "banks": run_banks}


def main() -> int:
    """Run one campaign, print its figures, and list its failures on stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("campaign", choices=CAMPAIGNS)
    parser.add_argument("--tries", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="miassam-faults-") as name:
        counts, failures = CAMPAIGNS[arguments.campaign](arguments.tries, arguments.seed, Path(name))
    if arguments.log:
        arguments.log.write_text("".join(f"{each.kind}\t{each.what}\t{each.words!r}\n" for each in failures))
    groups = Counter((each.kind, each.what.rpartition(" ")[0]) for each in failures)
    for (kind, what), number in sorted(groups.items()):
        sys.stderr.write(f"{number:5d}  {kind}: {what}\n")
    sys.stdout.write(json.dumps({"campaign": arguments.campaign, "seed": arguments.seed, **counts}) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
