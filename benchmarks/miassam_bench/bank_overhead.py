"""What a build adds to the encoder's time: reading, preparing, patching, storing, and the last steps."""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.config import preset
from MIASSAMLib.method import BuildOptions, BuildSource, build_bank
from MIASSAMLib.phantoms import Grid, make_phantom
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import read_volume, write_volume

from .machine import use_one_thread
from .subjects import load_subject

_SLICES_PER_VOLUME = 8


class _TimedModel:
    """A model that adds up the processor seconds of its encoder, which runs in the calling thread."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.seconds = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, rasters: FloatArray, content_boxes: Any = None) -> Any:
        begin = time.thread_time()
        embeddings = self._model.encode(rasters, content_boxes)
        self.seconds += time.thread_time() - begin
        return embeddings


def build_overhead(model_name: str, n_volumes: int, preset_name: str, folder: Path) -> dict[str, Any]:
    """Build a bank of phantom brains on one thread and return processor seconds per slice.

    `streaming_overhead` is all that is done slice by slice beside the encoder, as a part of the encoder's
    time; the last steps (calibration, index, digests) come once, when all slices are in.
    """
    use_one_thread()
    subject = load_subject(model_name, "cpu", folder)
    subject.fast.encode(subject.raster())  # the first call checks the precision
    model, streamed = _TimedModel(subject.fast), [0.0]

    def note(stage: str, done: int, total: int) -> None:
        if stage.startswith("volume"):
            streamed[0] = time.process_time() - begin

    sources = [_source(folder / f"brain{seed}.nii.gz", seed) for seed in range(n_volumes)]
    begin = time.process_time()
    options = BuildOptions(overwrite=True)
    bank = build_bank(folder / "overhead.bank", sources, model, preset(preset_name), options, note)
    whole, n_slices = time.process_time() - begin, bank.manifest.n_slices
    return {
        "model": model_name,
        "weights": subject.weights,
        "preset": preset_name,
        "n_slices": n_slices,
        "encoder_cpu_s_per_slice": round(model.seconds / n_slices, 3),
        "beside_encoder_cpu_s_per_slice": round((streamed[0] - model.seconds) / n_slices, 3),
        "last_steps_cpu_s_per_slice": round((whole - streamed[0]) / n_slices, 3),
        "streaming_overhead": round(streamed[0] / model.seconds - 1, 4),
    }


def _source(path: Path, seed: int) -> BuildSource:
    grid = Grid.centered((_SLICES_PER_VOLUME, 240, 240), (0.9, 0.9, 12.0))
    write_volume(path, make_phantom("brain", seed, 0, grid).volume)
    return BuildSource(path.name, functools.partial(_read, path))


def _read(path: Path) -> tuple[Volume, None]:
    return read_volume(path), None
