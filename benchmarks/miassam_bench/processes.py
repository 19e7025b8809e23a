"""What only a fresh process shows: the start, the first slice, and the peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .rows import Row
from .timing import Effort, race

_MEMORY_SHAPE = (96, 96)


def start_rows(effort: Effort, device: str) -> Iterator[Row]:
    """Measure `miassam --help` and the first slice of the embedded model, each from a cold start."""
    times = race(
        {
            "help": lambda: run_python("-m", "MIASSAMLib", "--help"),
            "slice": lambda: run_python("-m", f"{__package__}.processes", "first-slice", device),
        },
        effort,
    )
    yield Row.of_times("miassam --help, from a cold start", "", "cpu", times["help"])
    yield Row.of_times("first slice, from a cold start", "embedded", device, times["slice"])


def memory_rows(counts: Sequence[int], device: str) -> Iterator[Row]:
    """Measure the peak memory of segmenting few and many slices, outputs and input left out."""
    peaks = {}
    for count in counts:
        said = json.loads(run_python("-m", f"{__package__}.processes", "memory", device, str(count)))
        peaks[count] = said["peak_mb"] - said["volume_mb"]
        yield Row(
            f"peak memory beside the volume and its outputs, {count} slices", "embedded", device, peaks[count], "MB"
        )
    few, many = min(counts), max(counts)
    yield Row(
        f"peak memory, {many} slices over {few} slices", "embedded", device, peaks[many] / peaks[few], "", runs=1
    )


def run_python(*words: str) -> str:
    """Run this Python with some words and return what it wrote."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)} ended with code {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def segment_noise(n_slices: int, device: str) -> dict[str, Any]:
    """Segment a volume of noise with the embedded model and return the peak memory in MB."""
    from MIASSAMLib.sam import load_model

    from .end_to_end import make_segmenter, textured_volume
    from .subjects import normal_rows

    volume = textured_volume((n_slices, *_MEMORY_SHAPE))
    result = make_segmenter(load_model("embedded", None, device), normal_rows(1000)).segment(volume)
    masks = sum(finding.mask.nbytes for slice_ in result.slices for finding in slice_.findings)
    held = volume.voxels_kji.nbytes + result.heat_kji.nbytes + result.labels_kji.nbytes + masks
    return {"peak_mb": _peak_mb(), "volume_mb": held / 1e6}


def _peak_mb() -> float:
    """Return the peak resident memory; Linux's ru_maxrss would count that of the parent before exec."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    if sys.platform == "darwin":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6


def main(words: Sequence[str]) -> None:
    """Do one measurement in this process: `first-slice DEVICE` or `memory DEVICE COUNT`."""
    count = int(words[2]) if words[0] == "memory" else 1
    sys.stdout.write(json.dumps(segment_noise(count, words[1])) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
