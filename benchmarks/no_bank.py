"""Without a bank: Dice per volume and marked lesion-free slices of cases, each compared with itself.

    python benchmarks/no_bank.py --cases CASES.csv --output DIR

CASES.csv is that of `miassam evaluate` (case, image, mask). Writes `no_bank.json` after every case.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from MIASSAMLib import open_segmenter
from MIASSAMLib.evaluation.cases import read_cases
from MIASSAMLib.method import Segmenter
from MIASSAMLib.method.evidence import dice


def measure(segmenter: Segmenter, case: Any) -> dict[str, Any]:
    """Return what a case's segmentation is worth."""
    labeled, start = case.load(), time.process_time()
    result = segmenter.segment(labeled.volume)
    plane = result.prepared.plane
    marked, truth = (plane.view(each) for each in (result.labels_kji > 0, labeled.truth_kji))
    tissue = plane.view(result.prepared.foreground_kji).any((1, 2))
    normal = tissue & ~truth.any((1, 2))
    return {
        "case": case.name,
        "dice": dice(marked, truth),
        "lesions": result.n_lesions,
        "true_slices_marked": int((marked & truth).any((1, 2)).sum()),
        "true_slices": int(truth.any((1, 2)).sum()),
        "normal_slices_marked": int(marked.any((1, 2))[normal].sum()),
        "normal_slices": int(normal.sum()),
        "processor_s": time.process_time() - start,
    }


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", required=True, type=Path)
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    segmenter, found = open_segmenter(None), []
    for case in read_cases(arguments.cases, leave_one_group_out=True).cases:
        found.append(measure(segmenter, case))
        (arguments.output / "no_bank.json").write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
