"""False alarms as promised: the share of marked normal volumes at each nominal `--sensitivity`.

    python benchmarks/false_alarms.py --output DIR [--kind brain] [--count 60]

The bank is that of the demo (five normal phantoms); the volumes under test are normal phantoms it has not seen, with
seeds from 800 on. Each is encoded and compared once and asked at every sensitivity. Writes `false_alarms.json`.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from MIASSAMLib import build_bank, open_segmenter
from MIASSAMLib.method import SegmentOptions
from MIASSAMLib.phantoms import make_phantom

KINDS = ("brain", "liver", "retina")
SENSITIVITIES = (0.01, 0.05, 0.1, 0.2)
FIRST_SEED = 800
N_BANK = 5


def marked(kind: str, count: int, folder: Path) -> dict[str, float]:
    """Return the share of unseen normal volumes with any mark, by nominal sensitivity."""
    path = folder / f"{kind}.bank"
    if not path.exists():
        build_bank(path, [make_phantom(kind, seed).volume for seed in range(N_BANK)])
    segmenter, n_marked = open_segmenter(path), dict.fromkeys(SENSITIVITIES, 0)
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        reading = segmenter.open(make_phantom(kind, seed).volume)
        for sensitivity in SENSITIVITIES:
            options = replace(SegmentOptions(), sensitivity=sensitivity)
            n_marked[sensitivity] += not segmenter.segment(reading, options).is_normal
    return {f"{sensitivity:g}": n / count for sensitivity, n in n_marked.items()}


def main() -> None:
    """Measure each kind and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kind or KINDS:
        found = {"kind": kind, "n_volumes": arguments.count, "marked": marked(kind, arguments.count, arguments.output)}
        with (arguments.output / "false_alarms.json").open("a", encoding="utf-8") as file:
            file.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
