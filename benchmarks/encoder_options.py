"""Measure ways to run an encoder on this processor, side by side; docs/benchmarks.md says which were taken.

python benchmarks/encoder_options.py --output DIR [--models embedded vit_t vit_b] [--runs 5]

Each way encodes the same raster in turns, on one thread; processor time, the least of the runs, beside the
package's own float32 way. Weights of models that were not fetched are random: speed does not depend on them.
OpenVINO is measured where it is installed (pip install openvino).
"""

from __future__ import annotations

import argparse
import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from miassam_bench.machine import use_one_thread
from miassam_bench.subjects import Subject, load_subject
from miassam_bench.timing import Effort, race
from MIASSAMLib.sam.acceleration import embedding_cosine
from torch import nn

Encode = Callable[[torch.Tensor], torch.Tensor]


def main() -> None:
    """Measure every way of every model and write encoder_options.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=["embedded", "vit_t", "vit_b"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--ways", nargs="+", help="some of the ways, by name")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    use_one_thread()
    rows: list[dict[str, Any]] = []
    for name in options.models:
        rows += measure(load_subject(name, "cpu", options.output), options.runs, options.ways)
        (options.output / "encoder_options.json").write_text(json.dumps(rows, indent=1))


@torch.no_grad()
def measure(subject: Subject, runs: int, names: list[str] | None) -> list[dict[str, Any]]:
    """Return one row for each way that runs here: milliseconds, ratio to float32, cosine to plain float32.

    Each way is made, measured in turns with the package's float32 way, and forgotten, so that two encoders
    at most are in memory.
    """
    images, encoder = _input_and_encoder(subject.fast)
    plain_images, plain = _input_and_encoder(subject.plain)
    expected, rows = plain(plain_images), []
    for name in names or WAYS:
        row: dict[str, Any] = {"model": subject.name, "way": name}
        try:
            way = WAYS[name](plain if name == "as published" else encoder, images)
            row["cosine"] = embedding_cosine(way(images).float(), expected)
            times = race({"way": lambda way=way: way(images), "base": lambda: encoder(images)}, _effort(runs))
            row["ms"], row["float32_ms"] = (1e3 * min(times[each]) for each in ("way", "base"))
            row["ratio"] = row["float32_ms"] / row["ms"]
        except (RuntimeError, ImportError, NotImplementedError, TypeError, ValueError) as error:
            row["failed"] = str(error).strip().splitlines()[0][:120]
        rows.append(row)
        print(json.dumps(row), flush=True)  # noqa: T201
    return rows


def _effort(runs: int) -> Effort:
    return Effort(runs=runs, least=1, budget_s=300, warm_up=False, clock="cpu")


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


Way = Callable[[Any, torch.Tensor], Encode]
WAYS: dict[str, Way] = {
    "as published": lambda encoder, images: encoder,
    "channels last": lambda encoder, images: copy.deepcopy(encoder).to(memory_format=torch.channels_last),
    "contiguous": lambda encoder, images: copy.deepcopy(encoder).to(memory_format=torch.contiguous_format),
    "int8, dynamic, linear": lambda encoder, images: _dynamic_int8(encoder),
    "bfloat16, autocast": lambda encoder, images: _autocast(encoder),
    "OpenVINO float32": _openvino,
    "torch.compile": lambda encoder, images: torch.compile(copy.deepcopy(encoder)),
}


if __name__ == "__main__":
    main()
