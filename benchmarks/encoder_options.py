"""Measure ways to run an encoder on this processor, side by side; docs/benchmarks.md says which were taken.

python benchmarks/encoder_options.py --output DIR [--models embedded vit_t vit_b] [--runs 5]

Each way encodes the same raster in turns, on one thread; processor time, the least of the runs, beside the
package's own float32 way. Weights of models that were not fetched are random: speed does not depend on them.
OpenVINO is measured where it is installed (pip install openvino).
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from miassam_bench.machine import use_one_thread
from miassam_bench.subjects import Subject, load_subject
from MIASSAMLib.sam.acceleration import embedding_cosine
from torch import nn

Encode = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Measure every way of every model and write encoder_options.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["embedded", "vit_t", "vit_b"])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    use_one_thread()
    rows: list[dict[str, Any]] = []
    for name in options.models:
        rows += measure(load_subject(name, "cpu", options.output), options.runs)
        (options.output / "encoder_options.json").write_text(json.dumps(rows, indent=1))


@torch.no_grad()
def measure(subject: Subject, runs: int) -> list[dict[str, Any]]:
    """Return one row for each way that runs here: milliseconds, ratio to float32, cosine to plain float32."""
    images, encoder = _input_and_encoder(subject.fast)
    plain_images, plain = _input_and_encoder(subject.plain)
    expected = plain(plain_images)
    ways = _ways(encoder, images)
    ways["as published"] = lambda _: plain(plain_images)
    found, failed = {}, {}
    for name in list(ways):
        try:
            found[name] = ways[name](images)
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
            failed[name] = str(error).strip().splitlines()[0][:120]
            del ways[name]
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            start = time.process_time()
            way(images)
            times[name].append(1e3 * (time.process_time() - start))
    base = min(times["float32"])
    rows = []
    for name, values in times.items():
        cosine = embedding_cosine(found[name].float(), expected)
        rows.append(
            {"model": subject.name, "way": name, "ms": min(values), "ratio": base / min(values), "cosine": cosine}
        )
        print(f"{subject.name:<9} {name:<24} {min(values):9.1f} ms  x{base / min(values):5.2f}  cosine {cosine:.6f}")  # noqa: T201
    for name, why in failed.items():
        print(f"{subject.name:<9} {name:<24} does not run: {why}")  # noqa: T201
        rows.append({"model": subject.name, "way": name, "failed": why})
    return rows


def _ways(encoder: nn.Module, images: torch.Tensor) -> dict[str, Encode]:
    """Return the ways to run a float32 encoder, by name."""
    ways: dict[str, Encode] = {"float32": encoder}
    ways["channels last"] = copy.deepcopy(encoder).to(memory_format=torch.channels_last)
    ways["contiguous"] = copy.deepcopy(encoder).to(memory_format=torch.contiguous_format)
    ways["torch.compile"] = torch.compile(copy.deepcopy(encoder))
    ways["int8, dynamic, linear"] = _dynamic_int8(encoder)
    ways["bfloat16, autocast"] = _autocast(encoder)
    if importlib.util.find_spec("openvino"):
        ways["OpenVINO float32"] = _openvino(encoder, images)
    return ways


def _input_and_encoder(model: Any) -> tuple[torch.Tensor, nn.Module]:
    """Return the tensor an encoder takes of the probe raster, and the encoder."""
    from MIASSAMLib.sam.acceleration import probe_raster

    raster = probe_raster(model.input_px)
    if hasattr(model.sam.image_encoder, "grey"):
        return torch.from_numpy(raster)[:, None], model.sam.image_encoder.grey
    return model.normalized_images(raster), model.sam.image_encoder


def _dynamic_int8(encoder: nn.Module) -> Encode:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantized: Encode = torch.ao.quantization.quantize_dynamic(copy.deepcopy(encoder), {nn.Linear}, torch.qint8)
    return quantized


def _autocast(encoder: nn.Module) -> Encode:
    def encode(images: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            made: torch.Tensor = encoder(images)
            return made

    return encode


def _openvino(encoder: nn.Module, images: torch.Tensor) -> Encode:
    import openvino

    core = openvino.Core()
    converted = openvino.convert_model(encoder, example_input=images, input=[tuple(images.shape)])
    compiled = core.compile_model(converted, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})
    return lambda given: torch.from_numpy(compiled(given.numpy())[0])


if __name__ == "__main__":
    main()
