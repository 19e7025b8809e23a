"""Measure the peak memory of `miassam evaluate --bmad` on a simulated test set of the paper's size.

python benchmarks/evaluation.py --slices 3715 --output DIR     repeat to go on; the tree stays in DIR

The slices are brain phantoms enlarged to 512 x 512 pixels; every other one has a lesion. The evaluation runs in a
process of its own, whose peak resident memory is read when it ends. Linux and macOS.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from MIASSAMLib.phantoms import make_phantom
from numpy.typing import NDArray
from PIL import Image

SIDE_PX = 512
DATA_SET = Path("Brain_AD", "BraTS2021_slice")
SLICES_PER_PHANTOM = 10
TRAIN_PHANTOMS = 1
"""A small bank, to save time; what large ones take is measured by benchmarks/bank.py."""


def phantom_slices(seed: int, n_lesions: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield image and lesion mask (512, 512) uint8 of slices of a phantom; with lesions, of those that show one."""
    phantom = make_phantom("brain", seed, n_lesions)
    voxels, lesions = phantom.volume.voxels_kji, phantom.lesion_labels_kji > 0
    top = float(np.percentile(voxels, 99.8))
    wanted = lesions.any((1, 2)) if n_lesions else phantom.foreground_kji.any((1, 2))
    for index in np.flatnonzero(wanted)[:SLICES_PER_PHANTOM]:
        grey = (np.clip(voxels[index] / top, 0, 1) * 255).astype(np.uint8)
        mask = lesions[index].astype(np.uint8) * 255
        yield _enlarged(grey, Image.Resampling.BILINEAR), _enlarged(mask, Image.Resampling.NEAREST)


def _enlarged(pixels: NDArray[np.uint8], how: Image.Resampling) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).resize((SIDE_PX, SIDE_PX), how))


def write_tree(root: Path, n_slices: int) -> None:
    """Write training and test slices as BMAD does; what is there already stays."""
    for seed in range(TRAIN_PHANTOMS):
        for number, (image, _) in enumerate(phantom_slices(seed, 0)):
            _save(root / DATA_SET / "train" / "good" / f"normal{seed:04d}_{number}.png", image)
    for label, n_lesions, wanted in (("good", 0, n_slices // 2), ("Ungood", 3, n_slices - n_slices // 2)):
        folder = root / DATA_SET / "test" / label
        seed, done = 1000 * (1 + n_lesions), 0
        while done < wanted:
            for number, (image, mask) in enumerate(phantom_slices(seed, n_lesions)):
                if done < wanted:
                    _save(folder / "img" / f"{label}{seed:04d}_{number}.png", image)
                    _save(folder / "label" / f"{label}{seed:04d}_{number}.png", mask)
                    done += 1
            seed += 1


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


def evaluate(root: Path, output: Path, words: list[str]) -> dict[str, float]:
    """Run the command and return its peak resident memory in MB, its wall and processor seconds."""
    start = time.monotonic()
    command = [sys.executable, "-m", "MIASSAMLib", "evaluate", "--bmad", str(root), "--output", str(output), *words]
    subprocess.run(command, check=True)
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "peak_mb": round(usage.ru_maxrss * unit / 1e6),
        "wall_s": round(time.monotonic() - start, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=3715)
    parser.add_argument("--preset", nargs="+", default=["paper"])
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    root = options.output / f"bmad_{options.slices}"
    write_tree(root, options.slices)
    output = options.output / f"results_{options.slices}"
    found = {"slices": options.slices, "side_px": SIDE_PX, "preset": options.preset}
    found |= evaluate(root, output, ["--preset", *options.preset, "--prompt", "cog", "--mask", "3"])
    text = json.dumps(found)
    (options.output / f"evaluation_{options.slices}.json").write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
