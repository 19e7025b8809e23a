"""Segment a volume: the order of the steps, from voxels to a case result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..config import Config, MaskChoice, PromptKind
from ..errors import InputError, UsageError
from ..protocols import PatchSearcher, Progress, SamModel, no_progress
from ..volume import Volume
from ..volume.slice_image import frame_to_native
from .features import EncodedSlice, encode_slices
from .paper import decode_finding, keep_pointed, prompts_of_map, user_prompts
from .prepare import PreparedVolume, Preprocessing
from .results import CaseResult, Finding, SliceResult
from .scoring import SliceMap, map_slice


@dataclass(frozen=True)
class SegmentOptions:
    """What a run may change without another bank.

    Attributes:
        slices: first and one-past-last slice index, or None for all.
        prompt, mask: None keeps the preset's.
        all_slices: segment every slice, as the paper does, even where nothing is unusual.
        sensitivity: share of normal volumes that may get any mark (calibrated presets).
        batch: slices encoded at once; 0 chooses.
        min_volume_ml: smaller lesions are left out.
    """

    slices: tuple[int, int] | None = None
    prompt: PromptKind | None = None
    mask: MaskChoice | None = None
    all_slices: bool = False
    sensitivity: float = 0.05
    batch: int = 0
    min_volume_ml: float = 0.0


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


def slice_range(n_slices: int, wanted: tuple[int, int] | None) -> range:
    """Return the slice indexes to segment.

    Raises:
        UsageError: the range selects no slice of the volume.
    """
    if wanted is None:
        return range(n_slices)
    selected = range(max(0, wanted[0]), min(n_slices, wanted[1]))
    if not selected:
        raise UsageError(f"slices {wanted[0]}:{wanted[1]} select nothing; this volume has slices 0:{n_slices}")
    return selected


class Segmenter:
    """Segments volumes with one model, bank and config.

    Args:
        model: encoder and decoder.
        bank: memory bank of normal patches; None only decodes the user's points.
        config: the preset's numbers.
        preprocessing: how the bank's volumes were cut and scaled.
        bank_words: what the record says about the bank; its "modality" is compared with each volume's.
    """

    def __init__(
        self,
        model: SamModel,
        bank: PatchSearcher | None,
        config: Config,
        preprocessing: Preprocessing | None = None,
        bank_words: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.bank = bank
        self.config = config
        self.preprocessing = preprocessing or Preprocessing()
        self.bank_words = dict(bank_words or {})

    def prepare(self, volume: Volume) -> PreparedVolume:
        """Cut and scale a volume as the bank's were.

        Raises:
            InputError: the volume is of another modality than the bank.
        """
        normal = self.bank_words.get("modality", "")
        if normal and volume.modality and not self.preprocessing.modality and volume.modality != normal:
            raise InputError(
                f"{volume.name} looks like {volume.modality.upper()} but the bank holds {normal.upper()}; "
                f"choose a bank of its kind, or give --modality {normal} if it was taken wrongly"
            )
        return PreparedVolume.of(volume, self.preprocessing)

    def encode(self, prepared: PreparedVolume, indexes: Sequence[int], batch: int = 0) -> Iterator[EncodedSlice]:
        """Encode slices, each once."""
        return encode_slices(self.model, prepared, indexes, self.config, batch)

    def map(self, encoded: EncodedSlice) -> SliceMap:
        """Score one encoded slice against the bank.

        Raises:
            UsageError: the segmenter has no bank.
        """
        if self.bank is None:
            raise UsageError("no memory bank is loaded; choose a bank or build one from normal volumes")
        return map_slice(encoded, self.bank, self.config)

    def redecode(
        self,
        prepared: PreparedVolume,
        encoded: EncodedSlice,
        points_xy: AnyArray,
        labels: AnyArray,
        mask: MaskChoice = "3",
    ) -> Finding:
        """Decode one slice again from points (T, 2) in native pixels, labels 1 inside and 0 outside.

        Of the mask only the parts under a point inside are kept; all of it when no such point lies on it.

        Raises:
            InputError: a point lies outside the slice.
        """
        points = np.asarray(points_xy, float).reshape(-1, 2)
        rows, columns = prepared.plane.shape_yx
        inside = (points >= -0.5).all() and (points[:, 0] < columns - 0.5).all() and (points[:, 1] < rows - 0.5).all()
        if not inside or not len(points):
            raise InputError(
                f"points {np.round(points, 1).tolist()} must lie within the slice of {columns} x {rows} pixels; "
                "move them inside"
            )
        placed = user_prompts(prepared.frame.to_frame_xy(points), labels)
        finding = decode_finding(self.model, encoded, placed, prepared, mask)
        return keep_pointed(finding, points[np.asarray(labels).reshape(-1) == 1], prepared)

    def segment(
        self, volume: Volume, options: SegmentOptions | None = None, progress: Progress = no_progress
    ) -> CaseResult:
        """Segment a volume.

        Raises:
            UsageError: no slice is selected or no bank is loaded.
            Cancelled: raised by the progress callback.
        """
        options = options or SegmentOptions()
        watch = Stopwatch()
        with watch.stage("prepare"):
            prepared = self.prepare(volume)
            indexes = slice_range(prepared.plane.n_slices, options.slices)
        if self.config.calibrated:
            from .refined import segment_refined

            return segment_refined(self, prepared, indexes, options, progress, watch)
        return self._segment_paper(prepared, indexes, options, progress, watch)

    def _segment_paper(
        self, prepared: PreparedVolume, indexes: range, options: SegmentOptions, progress: Progress, watch: Stopwatch
    ) -> CaseResult:
        heat = np.zeros(prepared.volume.shape_kji, np.float32)
        labels = np.zeros(prepared.volume.shape_kji, np.uint16)
        results = []
        encoded_slices = timed(self.encode(prepared, indexes, options.batch), watch, "encode")
        for done, encoded in enumerate(encoded_slices, 1):
            with watch.stage("search"):
                slice_map = self.map(encoded)
                prepared.plane.put(heat, encoded.index, frame_to_native(slice_map.values, prepared.frame))
            with watch.stage("decode"):
                result = self._decode_paper(prepared, encoded, slice_map, options)
            for finding in result.findings:
                prepared.plane.put(labels, encoded.index, finding.mask.astype(np.uint16))
            results.append(result)
            progress("segmenting slices", done, len(indexes))
        return CaseResult(
            prepared, tuple(results), heat, labels, heat_unit(self.config), self.describe(options), watch.seconds,
            prepared.volume.notes,
        )  # fmt: skip

    def _decode_paper(
        self, prepared: PreparedVolume, encoded: EncodedSlice, slice_map: SliceMap, options: SegmentOptions
    ) -> SliceResult:
        pixels = prepared.pixels(encoded.index)
        placed = prompts_of_map(slice_map, self.config, options.prompt or self.config.prompt)
        if placed is None or pixels.max() == pixels.min():
            return SliceResult(encoded.index, slice_map.image_score, note="no anomaly: the slice is constant")
        finding = decode_finding(self.model, encoded, placed, prepared, options.mask or self.config.mask)
        heat = frame_to_native(slice_map.values, prepared.frame)
        finding = replace(finding, score=float(heat[finding.mask].max(initial=0.0)))
        return SliceResult(encoded.index, slice_map.image_score, findings=(finding,))

    def describe(self, options: SegmentOptions) -> Mapping[str, Any]:
        """Return what was used, as JSON-able data."""
        return {
            "preset": self.config.preset,
            "config": self.config.to_dict(),
            "config_digest": self.config.digest(),
            "model": {"name": self.model.name, "sha256": self.model.digest, "device": self.model.device},
            "bank": dict(self.bank_words),
            "preprocessing": self.preprocessing.to_dict(),
            "prompt": options.prompt or self.config.prompt,
            "mask": options.mask or self.config.mask,
            "slices": list(options.slices) if options.slices else None,
            "all_slices": options.all_slices,
            "sensitivity": options.sensitivity,
            "min_volume_ml": options.min_volume_ml,
        }


def heat_unit(config: Config) -> str:
    """Return the unit of a heat map in words."""
    if config.calibrated:
        return "standard deviations above normal"
    return "squared L2 distance to normal" if config.distance == "squared_l2" else "L2 distance to normal"


def timed(items: Iterator[EncodedSlice], watch: Stopwatch, stage: str) -> Iterator[EncodedSlice]:
    """Pass items on, adding the time spent waiting for each to a stage."""
    while True:
        with watch.stage(stage):
            item = next(items, None)
        if item is None:
            return
        yield item
