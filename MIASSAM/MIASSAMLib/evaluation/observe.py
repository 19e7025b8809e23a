"""Run a preset on a case with every prompt and mask, each slice encoded and scored once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..config import MaskChoice, PromptKind
from ..method import EncodedSlice, Reading, Segmenter, SegmentOptions
from ..method.paper import SliceMap, map_slice, native_masks, paper_config, place_prompts
from ..protocols import Progress, no_progress
from ..volume.slice_image import frame_to_native
from .ask_once import DecodeOnceModel
from .case_view import CaseView
from .mask_stack import MaskStack


@dataclass
class Observation:
    """What a preset gave for the counted slices of a case.

    Attributes:
        heat: float32 (S, H, W), in the preset's unit.
        image_scores: one per slice.
        masks: bool (S, H, W) for each (prompt, mask).
        points_xy: native point shown per slice, by prompt; NaN where there is none.
    """

    heat: FloatArray
    image_scores: list[float]
    masks: MaskStack
    points_xy: dict[str, AnyArray] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """Which rows are wanted of a preset."""

    prompts: Sequence[PromptKind]
    masks: Sequence[MaskChoice]


def observe(segmenter: Segmenter, view: CaseView, asked: Asked, progress: Progress = no_progress) -> Observation:
    """Run a preset; calibrated presets see the whole volume, the others slice by slice."""
    if segmenter.config.is_calibrated:
        return _observe_volume(segmenter, view, asked, progress)
    return _observe_slices(segmenter, view, asked, progress)


def _empty(view: CaseView, asked: Asked) -> Observation:
    shape = view.truth.shape
    points: dict[str, AnyArray] = {prompt: np.full((shape[0], 2), np.nan) for prompt in asked.prompts}
    return Observation(np.zeros(shape, np.float32), [0.0] * shape[0], MaskStack(shape), points)


def _observe_slices(segmenter: Segmenter, view: CaseView, asked: Asked, progress: Progress) -> Observation:
    """Take the paper's steps once per slice; `Segmenter.segment` would take them once per row."""
    seen = _empty(view, asked)
    reading = segmenter.open(view.prepared.volume)
    for position, encoded in enumerate(reading.slices([int(index) for index in view.slices])):
        slice_map = map_slice(encoded, reading)
        seen.heat[position] = frame_to_native(slice_map.values, view.prepared.frame)
        seen.image_scores[position] = slice_map.image_score
        pixels = view.prepared.pixels(encoded.index)
        if pixels.max() > pixels.min():
            for prompt in asked.prompts:
                _decode_slice(reading, view, seen, position, encoded, slice_map, prompt, asked.masks)
        progress(f"{segmenter.config.preset}: {view.case.name}", position + 1, len(view.slices))
    return seen


def _decode_slice(
    reading: Reading,
    view: CaseView,
    seen: Observation,
    position: int,
    encoded: EncodedSlice,
    slice_map: SliceMap,
    prompt: PromptKind,
    masks: Sequence[MaskChoice],
) -> None:
    placed = place_prompts(slice_map, reading.prepared, paper_config(reading), prompt)
    if placed is None:
        return
    decoded = reading.model.decode(encoded.embedding, placed.prompts)
    candidates = native_masks(decoded, view.prepared)
    surest = int(np.argmax(decoded.predicted_iou.mean(0)))
    seen.points_xy[prompt][position] = placed.shown_xy
    for mask in masks:
        seen.masks.put(prompt, mask, position, candidates[surest if mask == "auto" else int(mask) - 1])


def _observe_volume(segmenter: Segmenter, view: CaseView, asked: Asked, progress: Progress) -> Observation:
    """Segment the volume once per row, as a user would; repeated questions are answered from memory."""
    seen = _empty(view, asked)
    model = DecodeOnceModel(segmenter.model)
    runner = Segmenter(model, segmenter.bank, segmenter.config, segmenter.preprocessing)
    reading = runner.open(view.prepared.volume)
    position_of = {int(index): position for position, index in enumerate(view.slices)}
    rows = [(prompt, mask) for prompt in asked.prompts for mask in asked.masks]
    for number, (prompt, mask) in enumerate(rows):
        result = runner.segment(reading, SegmentOptions(prompt=prompt, mask=mask), progress)
        marked = view.stack(result.labels_kji) > 0
        for position in np.flatnonzero(marked.any((1, 2))):
            seen.masks.put(prompt, mask, int(position), marked[position])
        for one in result.slices:
            if one.findings and one.index in position_of:
                seen.points_xy[prompt][position_of[one.index]] = one.findings[0].cog_xy
        if number == 0:
            seen.heat[:] = view.stack(result.heat_kji)
            scores = {one.index: one.image_score for one in result.slices}
            seen.image_scores = [float(scores.get(int(index), 0.0)) for index in view.slices]
        progress(f"{segmenter.config.preset}: {view.case.name}, rows", number + 1, len(rows))
    return seen
