"""Run a preset on a case with every prompt and mask, each slice encoded and compared once."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..config import Config, MaskChoice, PromptKind
from ..method import EncodedSlice, Reading, Segmenter, SegmentOptions
from ..method.embeddings import EmbeddingCache
from ..method.paper import SliceMap, map_slice, native_masks, paper_config, place_prompts
from ..protocols import Decoded, Progress, Prompts, SamModel, no_progress
from ..volume.slice_image import frame_to_native
from .case_view import CaseView, MaskStack

_DECODE_ROOM_BYTES = 500_000_000


class DecodeOnceModel:
    """A model that decodes equal prompts on equal embeddings once, within a bounded memory."""

    def __init__(self, model: SamModel, room_bytes: int = _DECODE_ROOM_BYTES) -> None:
        """Wrap a model; once `room_bytes` of answers are kept, further ones are not."""
        self.name, self.digest, self.device = model.name, model.digest, model.device
        self.input_px = model.input_px
        self._model = model
        self._room = room_bytes
        self._answers: dict[bytes, Decoded] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> Any:
        """Encode with the wrapped model."""
        return self._model.encode(rasters, content_boxes)

    def decode(self, embedding: Any, prompts: Prompts) -> Decoded:
        """Return the three masks of each prompt."""
        parts = (prompts.points_xy, prompts.labels, prompts.boxes_xyxy, prompts.mask_logits)
        key = _digest(embedding.half().cpu().numpy(), *parts)
        if key in self._answers:
            return self._answers[key]
        decoded = self._model.decode(embedding, prompts)
        size = decoded.low_res_logits.nbytes
        if size <= self._room:
            self._room -= size
            self._answers[key] = decoded
        return decoded


def _digest(*arrays: AnyArray | None) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(b"-" if array is None else str(array.shape).encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


@dataclass(frozen=True)
class ReadOffBank:
    """A bank whose answers are known: the queries that come are the distances asked for, (Q, 1)."""

    kinds: tuple[str, ...]
    calibration: dict[str, Any]

    def search(self, kind: str, queries: FloatArray) -> FloatArray:
        """Return the first column of the queries."""
        return np.asarray(queries[:, 0])


class MeasuredReading(Reading):
    """A case whose patches were compared with the bank beforehand: what a bank would say of them is known.

    Args:
        model, config: as for `Reading`.
        calibration: that of the bank.
        view: the case.
        squared: squared distances (kinds, S, N) of its counted slices; those of slices that do not count are 0.
    """

    def __init__(
        self, model: SamModel, config: Config, calibration: dict[str, Any], view: CaseView, squared: FloatArray
    ) -> None:
        super().__init__(model, ReadOffBank(config.features, calibration), config, view.prepared, EmbeddingCache())
        self._squared = squared[..., None]
        self._rows = {int(index): row for row, index in enumerate(view.slices)}

    def slices(self, indexes: Sequence[int], batch: int = 0) -> Iterator[EncodedSlice]:
        """Yield slices whose features are their distances."""
        return (self._measured(encoded) for encoded in super().slices(indexes, batch))

    def slice(self, index: int) -> EncodedSlice:
        """Return one slice whose features are its distances."""
        return self._measured(super().slice(index))

    def _measured(self, encoded: EncodedSlice) -> EncodedSlice:
        row = self._rows.get(encoded.index)
        squared = np.zeros_like(self._squared[:, 0]) if row is None else self._squared[:, row]
        return dataclasses.replace(encoded, features=dict(zip(self.config.features, squared, strict=True)))


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
class _Spot:
    """Where in an observation the masks of one slice and prompt go."""

    seen: Observation
    position: int
    prompt: PromptKind
    masks: Sequence[MaskChoice]


@dataclass(frozen=True)
class Asked:
    """Which rows are wanted of a preset."""

    prompts: Sequence[PromptKind]
    masks: Sequence[MaskChoice]


def observe(reading: Reading, view: CaseView, asked: Asked, progress: Progress = no_progress) -> Observation:
    """Run a preset; calibrated presets see the whole volume, the others slice by slice."""
    if reading.config.is_calibrated:
        return _observe_volume(reading, view, asked, progress)
    return _observe_slices(reading, view, asked, progress)


def _empty(view: CaseView, asked: Asked) -> Observation:
    shape = view.truth.shape
    points: dict[str, AnyArray] = {prompt: np.full((shape[0], 2), np.nan) for prompt in asked.prompts}
    return Observation(np.zeros(shape, np.float32), [0.0] * shape[0], MaskStack(shape), points)


def _observe_slices(reading: Reading, view: CaseView, asked: Asked, progress: Progress) -> Observation:
    """Take the paper's steps once per slice; `Segmenter.segment` would take them once per row."""
    seen = _empty(view, asked)
    for position, encoded in enumerate(reading.slices([int(index) for index in view.slices])):
        slice_map = map_slice(encoded, reading)
        seen.heat[position] = frame_to_native(slice_map.values, view.prepared.frame)
        seen.image_scores[position] = slice_map.image_score
        pixels = view.prepared.pixels(encoded.index)
        if pixels.max() > pixels.min():
            for prompt in asked.prompts:
                _decode_slice(reading, encoded, slice_map, _Spot(seen, position, prompt, asked.masks))
        progress(f"{reading.config.preset}: {view.case.name}", position + 1, len(view.slices))
    return seen


def _decode_slice(reading: Reading, encoded: EncodedSlice, slice_map: SliceMap, spot: _Spot) -> None:
    """Fill one place of an observation: the shown point and the wanted masks of a slice's prompt."""
    placed = place_prompts(slice_map, reading.prepared, paper_config(reading), spot.prompt)
    if placed is None:
        return
    decoded = reading.model.decode(encoded.embedding, placed.prompts)
    candidates = native_masks(decoded, reading.prepared)
    surest = int(np.argmax(decoded.predicted_iou.mean(0)))
    spot.seen.points_xy[spot.prompt][spot.position] = placed.shown_xy
    for mask in spot.masks:
        chosen = candidates[surest if mask == "auto" else int(mask) - 1]
        spot.seen.masks.put(spot.prompt, mask, spot.position, chosen)


def _observe_volume(reading: Reading, view: CaseView, asked: Asked, progress: Progress) -> Observation:
    """Segment the volume once per row, as a user would; what rows share is answered from memory."""
    seen, segmenter = _empty(view, asked), Segmenter(reading.model, reading.bank, reading.config)
    position_of = {int(index): position for position, index in enumerate(view.slices)}
    rows = [(prompt, mask) for prompt in asked.prompts for mask in asked.masks]
    for number, (prompt, mask) in enumerate(rows):
        result = segmenter.segment(reading, _options(prompt, mask, view), progress)
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
        progress(f"{reading.config.preset}: {view.case.name}, rows", number + 1, len(rows))
    return seen


def _options(prompt: PromptKind, mask: MaskChoice, view: CaseView) -> SegmentOptions:
    """Return the options of a row; the case's region is handed on where the segmenter takes one."""
    more: dict[str, Any] = {"region_kji": view.region_kji}
    known = {one.name for one in dataclasses.fields(SegmentOptions)}
    return SegmentOptions(prompt=prompt, mask=mask, **{name: value for name, value in more.items() if name in known})
