"""Measure the embedded model: `python -m training.measure --brats DIR`, the numbers of its card.

Prints clicks on real volumes that were never trained on, the procedural validation, speed and size, and, with
`--features`, which patch features find the lesion. `--json` also writes them to a file.
"""

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import torch
from MIASSAMLib.sam.embedded import WEIGHTS_PATH, EmbeddedSam, load_embedded

from training.bank_features import measure_features
from training.real_clicks import ClickScores, RealCase, join, measure_clicks, read_brats, read_case
from training.speed import measure_speed
from training.validation import validate, validation_batches

log = logging.getLogger("training")


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="training.measure", description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS_PATH)
    parser.add_argument(
        "--brats", type=Path, help="folder of tumor patients: flair, lesion and brainmask .nii.gz in each"
    )
    parser.add_argument("--case", type=Path, nargs=2, action="append", default=[], metavar=("IMAGE", "LABEL"))
    parser.add_argument("--step", type=int, default=1, help="take every n-th tumor slice")
    parser.add_argument("--validation", type=int, default=120, help="procedural validation images; 0 leaves them out")
    parser.add_argument(
        "--features", action="store_true", help="leave one patient out: which features find the lesion"
    )
    parser.add_argument("--no-speed", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", force=True)
    torch.set_num_threads(options.threads)
    model = load_embedded(options.weights)
    results = measure(model, options)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(model: EmbeddedSam, options: argparse.Namespace) -> dict[str, Any]:
    """Return all that was asked for, printing each part as it comes."""
    results: dict[str, Any] = {}
    cases = read_brats(options.brats) if options.brats else []
    if cases:
        results["clicks"] = {"brats2013": clicks_table(model, cases, options)}
        show("brats2013", results["clicks"]["brats2013"])
    for image, label in options.case:
        case = read_case(image, label)
        results.setdefault("clicks", {})[case.name] = clicks_table(model, [case], options)
        show(case.name, results["clicks"][case.name])
    if options.validation:
        found = validate(model, validation_batches(options.validation), with_rounds=True)
        results["validation"] = found
        show("procedural validation", found)
    if not options.no_speed:
        results["speed"] = measure_speed(model, options.weights)
        show("speed and size", results["speed"])
    if options.features and cases:
        results["features"] = measure_features(model, cases, options.step)
        show("features, leave one patient out", results["features"])
    return results


def clicks_table(model: EmbeddedSam, cases: list[RealCase], options: argparse.Namespace) -> dict[str, Any]:
    """Measure clicks on some volumes; means over all slices, and per volume when there are several."""
    scores: dict[str, list[ClickScores]] = {}
    table: dict[str, Any] = {}
    for number, case in enumerate(cases):
        for kind, found in measure_clicks(model, case, options.step, options.seed + number).items():
            scores.setdefault(kind, []).append(found)
            if len(cases) > 1:
                table[f"{case.name} {kind}"] = found.table()
    return {**{kind: join(parts).table() for kind, parts in scores.items()}, **table}


def show(title: str, results: dict[str, Any]) -> None:
    """Print a part of the results, one line per condition."""
    log.info("\n%s", title)
    rows = results if all(isinstance(value, dict) for value in results.values()) else {"": results}
    for name, row in rows.items():
        parts = [f"{key} {value:.3f}" if isinstance(value, float) else f"{key} {value}" for key, value in row.items()]
        log.info("  %s%s", f"{name}: " if name else "", "  ".join(parts))


if __name__ == "__main__":
    raise SystemExit(main())
