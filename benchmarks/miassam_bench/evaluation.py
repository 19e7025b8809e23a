"""How `evaluate` grows with the number of patients, one left out at a time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from MIASSAMLib.evaluation.options import EvaluateOptions
from MIASSAMLib.evaluation.results import run_evaluation
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume_io import write_volume

from .rows import Row
from .timing import seconds

BANK_STEP = 4


def evaluate_rows(counts: Sequence[int], device: str, clock: str) -> Iterator[Row]:
    """Measure `evaluate` of brain phantoms per patient: paper, refined and all baselines, the embedded model."""
    per_patient = []
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="miassam-bench-") as folder:
            options = EvaluateOptions(
                Path(folder) / "out",
                cases=write_patients(Path(folder), count),
                leave_one_group_out=True,
                presets=("paper", "refined"),
                prompts=("cog",),
                masks=("3", "auto"),
                bank_step=BANK_STEP,
                device=device,
            )
            per_patient.append(seconds(partial(run_evaluation, options), device, clock) / count)
        words = f"evaluate per patient, {count} patients, each left out once"
        yield Row.of_times(words, "embedded", device, [per_patient[-1]])
    growth = per_patient[-1] / per_patient[0]
    yield Row(f"evaluate per patient, {max(counts)} patients over {min(counts)}", "embedded", device, growth, "")


def write_patients(folder: Path, count: int) -> Path:
    """Write brain phantoms with a lesion each and their cases.csv; return the file."""
    lines = ["case,image,mask,group,split"]
    for seed in range(count):
        phantom = make_phantom("brain", seed, 1)
        truth = (phantom.lesion_labels_kji > 0).astype(np.float32)
        write_volume(folder / f"image{seed}.nii.gz", phantom.volume)
        write_volume(folder / f"truth{seed}.nii.gz", replace(phantom.volume, voxels_kji=truth))
        lines.append(f"case{seed},image{seed}.nii.gz,truth{seed}.nii.gz,patient{seed},")
    path = folder / "cases.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
