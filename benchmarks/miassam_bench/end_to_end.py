"""From a slice to its mask: beside the plain way, and as slices and pixels grow in number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.bank import ManifestDraft, MemoryBank
from MIASSAMLib.config import Config, preset
from MIASSAMLib.method import Segmenter, SegmentOptions, UserPrompts, encode_slices
from MIASSAMLib.method.embedding_cache import EmbeddingCache
from MIASSAMLib.method.paper import map_slice
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume import Volume

from .plain import PlainWay
from .rows import Row
from .subjects import Subject, normal_rows
from .timing import Effort, race

_SLICES = {"embedded": 8}
_NORMAL_SLICES, _CHECKED_SLICES = {"embedded": 6}, {"embedded": 3}


def end_to_end_rows(subject: Subject, effort: Effort, n_patches: int) -> Iterator[Row]:
    """Measure segmenting slices, reading aside, in turns with the plain way, on equal banks."""
    rows = spread_rows(_bank_rows(subject, make_phantom("brain", seed=1).volume, preset("paper"), True), n_patches)
    volume, n_slices = make_phantom("brain", n_lesions=1).volume, _SLICES.get(subject.name, 1)
    segmenter = make_segmenter(subject.fast, rows)
    plain, raster = PlainWay(subject.plain, rows), subject.raster()
    options = SegmentOptions(slices=middle_slices(volume, n_slices))
    ways = {"fast": lambda: segmenter.segment(volume, options), "plain": lambda: plain.segment(raster)}
    times = race(ways, effort, subject.device)
    per_slice = [value / n_slices for value in times["fast"]]
    words = f"end to end per slice, bank of {n_patches:,} patches"
    yield Row.of_times(words, subject.name, subject.device, per_slice, times["plain"])
    yield from _stages(segmenter, volume, effort, subject.name)


def fidelity_rows(subject: Subject) -> Iterator[Row]:
    """Compare maps and masks with those of segment-anything in float32, the bank being the latter's."""
    config = preset("paper")
    normal, ill = make_phantom("brain", seed=1).volume, make_phantom("brain", seed=2, n_lesions=1).volume
    bank_rows = _bank_rows(subject, normal, config)
    options = SegmentOptions(slices=middle_slices(ill, _CHECKED_SLICES.get(subject.name, 1)))
    fast, plain = (make_segmenter(model, bank_rows).segment(ill, options) for model in (subject.fast, subject.plain))
    name, device, words = subject.name, subject.device, f"({subject.weights} weights)"
    correlation = float(np.corrcoef(fast.heat_kji.ravel(), plain.heat_kji.ravel())[0, 1])
    yield Row(f"anomaly map, correlation to float32 {words}", name, device, correlation, "", 1.0, correlation)
    one, other = fast.labels_kji > 0, plain.labels_kji > 0
    dice = 2 * float((one & other).sum()) / max(float(one.sum() + other.sum()), 1.0)
    yield Row(f"masks, Dice to float32 {words}", name, device, dice, "", 1.0, dice)


def growth_rows(subject: Subject, effort: Effort, is_quick: bool) -> Iterator[Row]:
    """Measure the time per slice as slices and as pixels per slice grow."""
    segmenter = make_segmenter(subject.fast, normal_rows(10_000))
    for n_slices in (4, 16) if is_quick else (8, 32, 128):
        yield _growth(f"end to end per slice, volume of {n_slices} slices", segmenter, (n_slices, 192, 192), effort)
    for side in (128, 512) if is_quick else (128, 256, 512, 1024):
        yield _growth(f"end to end per slice, slices of {side} x {side}", segmenter, (8, side, side), effort)


def spread_rows(rows: FloatArray, count: int) -> FloatArray:
    """Return `count` rows like the given patch embeddings: each lies between two of them."""
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, len(rows), (2, count))
    share = generator.random((count, 1), np.float32)
    spread: FloatArray = share * rows[first] + (1 - share) * rows[second]
    return spread


def make_segmenter(model: object, bank_rows: FloatArray) -> Segmenter:
    """Return a segmenter of the paper's preset on rows in memory."""
    config = preset("paper")
    draft = ManifestDraft(config.preset, config.to_dict(), config.digest(), "benchmark", "0" * 64)
    return Segmenter(model, MemoryBank.from_rows({"embedding": bank_rows}, draft), config)  # type: ignore[arg-type]


def textured_volume(shape_kji: tuple[int, int, int]) -> Volume:
    """Return a volume of noise within a cylinder."""
    _, rows, columns = (np.linspace(-1, 1, size) for size in shape_kji)
    body = np.hypot(rows[:, None], columns[None]) < 0.8
    noise = np.random.default_rng(0).normal(1.0, 0.1, shape_kji[1:]).astype(np.float32)
    voxels = np.empty(shape_kji, np.float32)
    voxels[:] = body * noise
    voxels *= np.linspace(0.8, 1.2, shape_kji[0], dtype=np.float32)[:, None, None]
    return Volume(voxels, np.diag([1.0, 1.0, 3.0, 1.0]), "noise", "mri", "benchmark")


def middle_slices(volume: Volume, count: int) -> tuple[int, int]:
    """Return the range of `count` slices in the middle of a volume cut axially."""
    first = max(0, (volume.shape_kji[0] - count) // 2)
    return first, first + count


def _growth(words: str, segmenter: Segmenter, shape_kji: tuple[int, int, int], effort: Effort) -> Row:
    volume = textured_volume(shape_kji)
    few = replace(effort, runs=min(3, effort.runs), warm_up=False)
    times = race({"fast": lambda: segmenter.segment(volume)}, few, segmenter.model.device)["fast"]
    per_slice = [value / shape_kji[0] for value in times]
    return Row.of_times(words, segmenter.model.name, segmenter.model.device, per_slice)


def _stages(segmenter: Segmenter, volume: Volume, effort: Effort, name: str) -> Iterator[Row]:
    """Measure each stage of one slice by itself."""
    reading = segmenter.open(volume, EmbeddingCache())
    prepared = reading.prepared
    index, side = prepared.plane.n_slices // 2, segmenter.model.input_px
    encoded = reading.slice(index)
    rows, point = encoded.features["embedding"], UserPrompts.inside_at(np.array([20.0, 20.0]))
    ways = {
        "prepare": lambda: prepared.rasters([index], side, segmenter.config),
        "encode and patch": lambda: segmenter.open(volume).slice(index),
        "search": lambda: segmenter.bank.search("embedding", rows),  # type: ignore[union-attr]
        "search and map": lambda: map_slice(encoded, reading),
        "decode to native mask": lambda: segmenter.correct(reading, index, point),
    }
    device = segmenter.model.device
    for stage, times in race(ways, replace(effort, runs=3, least=2), device).items():
        yield Row.of_times(f"stage {stage}, one slice", name, device, times)


def _bank_rows(subject: Subject, volume: Volume, config: Config, is_fast: bool = False) -> FloatArray:
    segmenter = make_segmenter(subject.plain, normal_rows(8))
    prepared = segmenter.prepare(volume)
    indexes = range(*middle_slices(volume, _NORMAL_SLICES.get(subject.name, 1)))
    encoded = encode_slices(subject.fast if is_fast else subject.plain, prepared, indexes, config)
    return np.concatenate([slice_.features["embedding"] for slice_ in encoded])
