"""The way from `paper` to `refined`, step by step, on labeled cases and on phantoms.

python benchmarks/ablation.py phantoms OUTPUT        write phantoms of every kind and measure the steps on them
python benchmarks/ablation.py page PAGE.md OUTPUT...   put the tables of the steps at the end of a page

Every row is measured by `miassam evaluate`; a run that stops goes on when started again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from MIASSAMLib.phantoms import KINDS, Phantom, make_phantom
from MIASSAMLib.volume_io import write_volume

BEGIN, END = "<!-- steps begin -->", "<!-- steps end -->"
PLAIN = "per_position=off,zoom=off,feedback_rounds=0"
N_NORMAL, N_TESTED_NORMAL = 5, 1
LESION_COUNTS = (1, 2, 3)
FIRST_NORMAL_SEED, FIRST_TESTED_SEED = 0, 901


class Step(NamedTuple):
    """One row: the preset with its changes, the mask it takes, and what it adds to the row above."""

    preset: str
    mask: str
    adds: str


STEPS = (
    Step("paper", "3", "`paper`: every slice, one point, mask 3"),
    Step(
        f"refined:features=embedding,fusion_weights=1,place_weight=0,{PLAIN}",
        "3",
        "map calibrated on normals; unusual clusters only, a point each",
    ),
    Step(f"refined:{PLAIN}", "3", "intensity statistics, fused after calibration"),
    Step(f"refined:{PLAIN}", "auto", "mask chosen by agreement with the map"),
    Step("refined:zoom=off,feedback_rounds=0", "auto", "places calibrated by themselves where that predicts better"),
    Step("refined:feedback_rounds=0", "auto", "closer looks at small clusters"),
    Step("refined", "auto", "feedback rounds: `refined`"),
    Step("refined:contrast=flair", "auto", "`refined --contrast flair` (off by default)"),
)
FIGURES = {
    "dice_slice_large": "Dice per anomalous slice over 100 px",
    "dice_volume": "Dice per volume",
    "lesion_sensitivity": "lesions found",
    "normal_marked": "normal slices marked",
}


def evaluate(cases: Path, output: Path) -> None:
    """Run `miassam evaluate` on a list of cases with every step."""
    presets = list(dict.fromkeys(step.preset for step in STEPS))
    command = [sys.executable, "-m", "MIASSAMLib", "evaluate", "--cases", str(cases), "--output", str(output)]
    subprocess.run([*command, "--preset", *presets, "--prompt", "cog", "--mask", "3", "auto"], check=True)


def write_phantoms(kind: str, folder: Path) -> Path:
    """Write normal and lesion phantoms of a kind as NIfTI, and their cases.csv; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["case,image,mask,group,split"]
    tested = (*LESION_COUNTS, *[0] * N_TESTED_NORMAL)
    for seed in range(FIRST_NORMAL_SEED, FIRST_NORMAL_SEED + N_NORMAL):
        lines.append(_write_phantom(make_phantom(kind, seed), folder, "normal"))
    for seed, n_lesions in enumerate(tested, FIRST_TESTED_SEED):
        lines.append(_write_phantom(make_phantom(kind, seed, n_lesions), folder, "test"))
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _write_phantom(phantom: Phantom, folder: Path, split: str) -> str:
    """Write one phantom and its truth; return its line of cases.csv."""
    name, mask = phantom.volume.name, ""
    write_volume(folder / f"{name}.nii.gz", phantom.volume)
    if phantom.lesion_labels_kji.any():
        mask = f"{name}_truth.nii.gz"
        truth = (phantom.lesion_labels_kji > 0).astype(np.float32)
        write_volume(folder / mask, replace(phantom.volume, voxels_kji=truth))
    return f"{name},{name}.nii.gz,{mask},{name},{split}"


def table(output: Path) -> str:
    """Return the steps of one evaluation as a Markdown table; percent. Steps without a row join the next one."""
    rows = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["rows"]
    lines = ["| step | " + " | ".join(FIGURES.values()) + " |", "|---|" + "---|" * len(FIGURES)]
    left_out: list[str] = []
    for step in STEPS:
        row = next((row for row in rows if (row["preset"], row["mask"]) == (step.preset, step.mask)), None)
        if row is None:
            left_out.append(step.adds)
            continue
        adds = step.adds if step.adds.startswith("`") else "+ " + "; ".join([*left_out, step.adds])
        left_out = []
        lines.append(f"| {adds} | " + " | ".join(_percent(row[figure]) for figure in FIGURES) + " |")
    return "\n".join(lines)


def _percent(value: Any) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def write_page(page: Path, outputs: Sequence[Path]) -> None:
    """Put the tables of some evaluations between the markers of a page, or at its end."""
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    parts = [f"### {output.name}\n\n{table(output)}\n" for output in outputs]
    head = (
        "## From paper to refined, step by step\n\nPercent; each row adds to the one above it. Made by "
        "`benchmarks/ablation.py`, from the same `miassam evaluate`.\nPhantoms: "
        f"{N_NORMAL} normal ones in the bank; tested on {len(LESION_COUNTS)} with lesions and {N_TESTED_NORMAL} "
        "without, of seeds used for nothing else.\nSteps that were not run on a data set are joined to the next row.\n"
    )
    tail = after if rest else "\n"
    page.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{head}\n" + "\n".join(parts) + f"\n{END}{tail}", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("phantoms").add_argument("output", type=Path)
    page = commands.add_parser("page")
    page.add_argument("page", type=Path)
    page.add_argument("outputs", type=Path, nargs="+")
    options = parser.parse_args()
    if options.command == "page":
        write_page(options.page, options.outputs)
    else:
        for kind in KINDS:
            evaluate(write_phantoms(kind, options.output / f"{kind}_cases"), options.output / f"{kind} phantoms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
