"""What a drag costs the worker: from the request of a moved point to the changed mask.

    OMP_NUM_THREADS=2 python benchmarks/desk.py [--profile] [--model NAME]

A brain phantom of 240 x 240 px slices, one of its anomalies, a small bank. Ten drags within a pixel, in turns with the
plain way: segment-anything's own encoder and decoder in float32, each closer look encoded anew. Prints medians of wall
and processor time, and in how many pixels the masks of the two ways differ.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import pstats
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from miassam_bench.plain import PlainWay
from miassam_bench.subjects import load_subject
from miassam_bench.timing import processor_time
from MIASSAMLib.arrays import AnyArray
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.protocols import Decoded
from MIASSAMLib.worker.channel import Channel
from MIASSAMLib.worker.engine import Engine
from MIASSAMLib.worker.server import Call
from scipy import ndimage

DRAGS = 10
SIDE = 240


class Plain:
    """A model that encodes and decodes as segment-anything is published, and remembers nothing."""

    def __init__(self, model: Any) -> None:
        self.name, self.digest, self.input_px, self.device = model.name, model.digest, model.input_px, model.device
        self.encode, self._way = model.encode, PlainWay(model)

    def decode(self, embedding: Any, prompts: Any) -> Decoded:
        """Decode prompts one by one."""
        return Decoded(*(each.cpu().numpy() for each in self._way.decode(embedding, prompts)))


def head() -> tuple[Any, Any]:
    """Return voxels (K, 240, 240) of a phantom at 1 mm, and its matrix."""
    volume = make_phantom("brain", 1, 2).volume
    voxels = ndimage.zoom(volume.voxels_kji, (1, 1.25, 1.25), order=1)
    missing = [(0, 0), *(((SIDE - size) // 2, SIDE - size - (SIDE - size) // 2) for size in voxels.shape[1:])]
    ijk_to_ras = volume.ijk_to_ras @ np.diag([0.8, 0.8, 1, 1])
    ijk_to_ras[:3, 3] -= ijk_to_ras[:3, :2] @ [missing[2][0], missing[1][0]]
    return np.pad(voxels, missing).astype(np.float32), ijk_to_ras


def drags(finding: Mapping[str, Any]) -> list[list[float]]:
    """Return the places (i, j, k) the point is dragged to."""
    steps = np.random.default_rng(0).uniform(-1, 1, (DRAGS + 1, 2))
    return [[finding["cog_ijk"][0] + x, finding["cog_ijk"][1] + y, finding["cog_ijk"][2]] for x, y in steps]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        measure(Path(name), options.model, options.profile)


def measure(folder: Path, model: str, is_profiled: bool) -> None:
    """Drag the point of the largest outline of a run."""
    desk = Desk(folder, model)
    fast, plain = next(iter(desk.engine._models.values())), Plain(load_subject(model, "cpu", folder).plain)
    times: dict[str, list[list[float]]] = {"now": [], "plain": []}
    differ, pixels = 0, 0
    for place in drags(desk.finding):
        masks = []
        for way, by in (("now", fast), ("plain", plain)):
            start = time.perf_counter(), processor_time()
            masks.append(desk.drag(place, by))
            times[way].append([time.perf_counter() - start[0], processor_time() - start[1]])
        differ, pixels = differ + int((masks[0] != masks[1]).sum()), pixels + int(masks[1].sum())
    for way, measured in times.items():
        wall, processor = 1000 * np.median(measured[1:], 0)
        sys.stdout.write(f"{way}: {wall:.0f} ms wall, {processor:.0f} ms of processor\n")
    sys.stdout.write(f"masks differ in {differ} of {pixels} px\n")
    if is_profiled:
        profile = cProfile.Profile()
        profile.runcall(lambda: [desk.drag(place, fast) for place in drags(desk.finding)])
        pstats.Stats(profile).sort_stats("cumulative").print_stats(45)


class Desk:
    """A worker in this process with one segmented volume."""

    def __init__(self, folder: Path, model: str) -> None:
        self.folder, self.engine = folder, Engine(folder)
        self._call = Call(Channel(io.BytesIO(), io.BytesIO(), folder), 1)
        chosen = {"bank": str(folder / "small.bank"), "model": {"name": model, "device": "cpu"}}
        built = {"output": chosen["bank"], "kind": "brain", "seeds": [101, 102], "every": 4, "model": chosen["model"]}
        self.engine.build_sample_bank(built, self._call)
        voxels, ijk_to_ras = head()
        sent = {"array": self._call.save("head", voxels), "ijk_to_ras": ijk_to_ras.tolist(), "modality": "mri"}
        self.engine.open_volume({"key": "head", **sent}, self._call)
        found = self.engine.segment({"volume": "head", **chosen}, self._call)["slices"]
        pairs = [(slice_["index"], each) for slice_ in found for each in slice_["findings"]]
        index, self.finding = max(pairs, key=lambda pair: pair[1]["area_mm2"])
        sys.stdout.write(f"slice {index}, {self.finding['area_mm2']:.0f} mm2, {self.finding['why'][0]}\n")
        self._asked = {"volume": "head", **chosen, "slice": index, "labels": [1], "searched": True}

    def drag(self, place: list[float], by: Any) -> AnyArray:
        """Return the mask of one drag, decoded by a model."""
        next(iter(self.engine._readings.values())).model = by
        answer = self.engine.redecode({**self._asked, "points_ijk": [place]}, self._call)
        return np.asarray(np.load(self.folder / answer["mask"]))


if __name__ == "__main__":
    main()
