"""`miassam demo`: phantoms, banks, segmentations, pictures and Dice; no network."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .arguments import add_log_argument
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..method import CaseResult, Segmenter
    from ..phantoms import Phantom
    from ..protocols import Progress, SamModel

N_NORMAL = 5
"""Normal phantoms of each kind that make its bank."""


@dataclass(frozen=True)
class DemoCase:
    """One phantom of the demo: kind, seed, lesions and how it is stored."""

    kind: str
    seed: int
    n_lesions: int
    geometry: str = "axial"


OWN_COLUMNS = ("dice", "true_lesions", "found_lesions", "cog_in_lesion", "geometry")
"""Columns of the demo's `cases.csv` beside those of every run."""
CASES = (
    DemoCase("brain", 101, 1),
    DemoCase("brain", 102, 3, "oblique"),
    DemoCase("brain", 103, 0),
    DemoCase("liver", 101, 2),
    DemoCase("liver", 102, 1, "sagittal"),
    DemoCase("liver", 103, 0),
    DemoCase("retina", 101, 2),
    DemoCase("retina", 102, 1, "flipped"),
    DemoCase("retina", 103, 0),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam demo`."""
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.add_argument("--kind", action="append", choices=("brain", "liver", "retina"), help="only this kind")
    add_log_argument(parser)


def run(arguments: argparse.Namespace) -> int:
    """Make phantoms, build banks, segment, measure and say where everything is."""
    from ..api import open_model
    from ..files import check_output_dir, write_text
    from ..outputs import RunWriter, case_row

    output = check_output_dir(arguments.output)
    model = open_model("embedded", device=arguments.device)
    kinds = arguments.kind or ["brain", "liver", "retina"]
    rows: list[dict[str, Any]] = []
    words = {"demo": "procedural phantoms with known truth", "model": model.name}
    with RunWriter(output, words, OWN_COLUMNS) as writer, terminal_progress() as progress:
        for kind in kinds:
            say(f"{kind}: building a bank from {N_NORMAL} normal phantoms ...")
            segmenter = _segmenter(kind, output, model, progress)
            for case in (case for case in CASES if case.kind == kind):
                record, measured = _run_case(case, segmenter, output, progress)
                summary = f"{case_row(record)['summary']}; {_words(measured)}"
                rows.append(writer.add(record, {**measured, "geometry": case.geometry, "summary": summary}))
                say(f"  {rows[-1]['case']}: {rows[-1]['summary']}")
    write_text(output / "demo.json", json.dumps({"cases": rows}, indent=1))
    _conclude(rows, output)
    return 0


def _segmenter(kind: str, output: Path, model: SamModel, progress: Progress) -> Segmenter:
    """Build (or reuse) the bank of a kind and return its segmenter."""
    from ..api import normal_sources, open_segmenter
    from ..config import preset
    from ..errors import BankError
    from ..method import BuildOptions, build_bank
    from ..phantoms import make_phantom

    path = output / f"{kind}.bank"
    try:
        return open_segmenter(path, model, "refined")
    except BankError:
        sources = normal_sources([make_phantom(kind, seed).volume for seed in range(N_NORMAL)], [None] * N_NORMAL)
        options = BuildOptions(anatomy=f"{kind} phantom", overwrite=path.exists())
        build_bank(path, sources, model, preset("refined"), options, progress)
    return open_segmenter(path, model, "refined")


def _run_case(
    case: DemoCase, segmenter: Segmenter, output: Path, progress: Progress
) -> tuple[dict[str, Any], dict[str, Any]]:
    from ..outputs import write_case
    from ..phantoms import default_grid, make_phantom, vary
    from ..volume_io import write_volume

    grid = vary(default_grid(case.kind), case.geometry)
    phantom = make_phantom(case.kind, case.seed, case.n_lesions, grid)
    write_volume(output / f"{phantom.volume.name}.nii.gz", phantom.volume)
    result = segmenter.segment(phantom.volume, progress=progress)
    return write_case(output, result), measure_case(phantom, result)


def measure_case(phantom: Phantom, result: CaseResult) -> dict[str, Any]:
    """Compare a result with a phantom's truth: Dice, lesions found, points inside lesions."""
    import numpy as np

    truth, found = phantom.lesion_labels_kji > 0, result.labels_kji > 0
    total = int(truth.sum()) + int(found.sum())
    numbers = [int(n) for n in np.unique(phantom.lesion_labels_kji) if n]
    points = [result.cog_ijk(item, finding) for item in result.slices for finding in item.findings]
    inside = [bool(truth[tuple(np.round(ijk).astype(int)[::-1])]) for ijk in points]
    return {
        "true_lesions": len(numbers),
        "found_lesions": sum(bool(found[phantom.lesion_labels_kji == n].any()) for n in numbers),
        "dice": round(2 * int((truth & found).sum()) / total, 4) if total else 1.0,
        "cog_in_lesion": round(float(np.mean(inside)), 4) if inside else None,
    }


def _words(measured: dict[str, Any]) -> str:
    if not measured["true_lesions"]:
        return "truth: normal" + ("" if measured["dice"] == 1 else " (FALSE ALARM)")
    cog = measured["cog_in_lesion"]
    return (
        f"Dice {measured['dice']:.2f}, {measured['found_lesions']} of {measured['true_lesions']} lesions found, "
        f"CoG in lesion {'-' if cog is None else f'{100 * cog:.0f} %'}"
    )


def _conclude(rows: list[dict[str, Any]], output: Path) -> None:
    ill = [row for row in rows if row["true_lesions"]]
    normal = [row for row in rows if not row["true_lesions"]]
    say(f"Mean Dice of {len(ill)} phantoms with lesions: {sum(row['dice'] for row in ill) / max(len(ill), 1):.3f}")
    say(f"Normal phantoms left empty: {sum(row['dice'] == 1 for row in normal)} of {len(normal)}")
    say(f"Pictures, segmentations (.seg.nrrd), heat maps and report: {output.resolve()}")
    say(f"Open {(output / 'report.html').resolve()} in a browser, or any .seg.nrrd in 3D Slicer.")
