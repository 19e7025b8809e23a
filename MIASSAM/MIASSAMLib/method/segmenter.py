"""Segment a volume, or correct one of its slices: the door to the method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..config import Config, PaperConfig, RefinedConfig
from ..errors import InputError, UsageError
from ..protocols import PatchSearcher, Progress, SamModel, no_progress
from ..volume import Volume
from ..volume.slice_image import native_to_map
from .bank_notes import bank_notes, known_volume_note
from .embeddings import EmbeddingCache
from .features import foreground_patches
from .paper import correct_paper, map_unit, segment_paper
from .prepare import PreparedVolume, Preprocessing
from .prompts import Mark, UserPrompts
from .reading import Reading, SegmentOptions, Stopwatch, slice_range
from .refined import MAP_UNIT, OWN_UNIT, correct_refined, read_calibration, segment_refined
from .results import CaseResult, Finding, SegmentedSlices, SliceResult


class Segmenter:
    """Segments volumes with one model, bank and config.

    Args:
        model: encoder and decoder.
        bank: memory bank of normal patches; None compares each volume with itself.
        config: the preset's numbers.
        preprocessing: how the bank's volumes were cut and scaled.
        bank_words: what the record says about the bank; its "modality" is compared with each volume's.
        known: SHA-256 -> name of the volumes that the bank was built from.
        beside: for each further contrast of the volumes the segmenter of its bank; none without a bank.
    """

    def __init__(
        self,
        model: SamModel,
        bank: PatchSearcher | None,
        config: Config,
        preprocessing: Preprocessing | None = None,
        bank_words: Mapping[str, Any] | None = None,
        known: Mapping[str, str] | None = None,
        beside: Sequence[Segmenter] = (),
    ) -> None:  # seven: what `open_segmenter` composes
        self.model = model
        self.bank = bank
        self.config = config
        self.preprocessing = preprocessing or Preprocessing()
        self.bank_words = dict(bank_words or {})
        self.known = dict(known or {})
        self.beside = tuple(beside)

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
        return PreparedVolume.of(volume, self.preprocessing, self.config)

    def open(self, volume: Volume, cache: EmbeddingCache | None = None) -> Reading:
        """Prepare a volume for work that encodes each slice once.

        cache: keeps every slice's embedding, for decoding again.

        Raises:
            InputError: the volume is of another modality than the bank.
            UsageError: its contrasts and the banks do not pair, or are cut along other axes.
        """
        reading = Reading(self.model, self.bank, self.config, self.prepare(volume), cache)
        contrasts = [replace(other, region_kji=volume.region_kji) for other in volume.contrasts]
        pairs = zip(self._beside(contrasts), contrasts, strict=True)
        reading.others = tuple(segmenter.open(other, cache) for segmenter, other in pairs)
        for other in reading.others:
            if other.prepared.plane != reading.prepared.plane:
                raise UsageError(
                    f"{other.prepared.volume.name} would be cut {other.prepared.plane.orientation} and {volume.name} "
                    f"{reading.prepared.plane.orientation}; give banks of one slice axis"
                )
        return reading

    def _beside(self, contrasts: Sequence[Volume]) -> Sequence[Segmenter]:
        """Return the segmenter of each further contrast."""
        if contrasts and not self.config.is_calibrated:
            raise UsageError(
                f"the preset {self.config.preset} looks at one contrast; leave the others out, or use refined"
            )
        if any(each.modality == "oct" for each in contrasts):
            raise UsageError("B-scans of OCT are compared in one contrast; leave the others out")
        if self.bank is None:
            return [self] * len(contrasts)
        if len(self.beside) != len(contrasts):
            raise UsageError(
                f"{len(contrasts)} further contrasts came with {len(self.beside)} banks of their own; give each its "
                "bank, in order, or no bank at all"
            )
        return self.beside

    def segment(
        self,
        volume: Volume | Reading,
        options: SegmentOptions | None = None,
        progress: Progress = no_progress,
        digest: str = "",
    ) -> CaseResult:
        """Segment a volume.

        digest: SHA-256 of the volume as a build takes it, to tell whether the bank holds it; "" = not known.

        Raises:
            InputError: the volume is of another modality than the bank.
            UsageError: no slice is selected, or the preset needs a bank and there is none.
            Cancelled: raised by the progress callback.
        """
        options, watch = options or SegmentOptions(), Stopwatch()
        with watch.stage("prepare"):
            reading = volume if isinstance(volume, Reading) else self.open(volume)
            indexes = slice_range(reading.prepared.plane.n_slices, options.slices)
        way = segment_refined if self.config.is_calibrated else segment_paper
        found = way(reading, indexes, options, progress, watch)
        notes = (*known_volume_note(self.known, digest), *self._notes(reading), *found.notes)
        return CaseResult(
            reading.prepared, tuple(found.slices), found.heat_kji, found.labels_kji,
            heat_unit(self.config, self.bank is not None), self.describe(options), watch.seconds, notes,
        )  # fmt: skip

    def _notes(self, reading: Reading) -> list[str]:
        """Return what was noticed of a volume and its contrasts, and of their banks."""
        volume = reading.prepared.volume
        notes = [*volume.notes, *bank_notes(self.bank_words, reading.prepared)]
        banks = [segmenter.bank_words for segmenter in self.beside] or [{}] * len(reading.others)
        for bank_words, other in zip(banks, reading.others, strict=True):
            words = (*other.prepared.volume.notes, *bank_notes(bank_words, other.prepared))
            name = other.prepared.volume.name
            notes += [one if one.startswith(name) else f"{name}: {one}" for one in words]
        if names := " and ".join(other.prepared.volume.name for other in reading.others):
            notes.append(f"compared in {volume.name} and {names}, outlined in {volume.name}")
        return notes

    def outline(self, reading: Reading, marks: Sequence[Mark], options: SegmentOptions | None = None) -> CaseResult:
        """Outline what a user marks and nothing else; without a bank there is no map, and its unit is "".

        Raises:
            InputError: as `correct`.
        """
        options, watch = options or SegmentOptions(), Stopwatch()
        found = SegmentedSlices.empty(reading.prepared)
        with watch.stage("decode"):
            for index in sorted({mark.index for mark in marks}):
                own = [mark for mark in marks if mark.index == index]
                findings = [
                    replace(self.correct(reading, index, mark.prompts, options), lesion=mark.lesion) for mark in own
                ]
                found.put(SliceResult(index, 0.0, findings=tuple(one for one in findings if one.mask.any())))
        return CaseResult(
            reading.prepared, tuple(found.slices), found.heat_kji, found.labels_kji, "",
            self.describe(options), watch.seconds, reading.prepared.volume.notes,
        )  # fmt: skip

    def compare_with_itself(self, reading: Reading) -> None:
        """Measure a volume without a bank again, before results of such a run are corrected."""
        if reading.bank is None and self.config.is_calibrated:
            read_calibration(reading)

    def correct(
        self, reading: Reading, index: int, prompts: UserPrompts, options: SegmentOptions | None = None
    ) -> Finding:
        """Outline one slice again from the user's points or box, by the function that outlines automatically.

        Prompts that are the run's own give the run's own mask, pixel for pixel.

        Args:
            index: slice index along the slice axis.
            prompts: native pixels of the slice.
            options: those of the run.

        Raises:
            InputError: the slice is not in the volume, nothing is inside, or a point lies outside the slice.
        """
        _check_prompts(reading.prepared, index, prompts)
        way = correct_refined if self.config.is_calibrated else correct_paper
        return way(reading, index, prompts, options or SegmentOptions())

    def normal_rows(self, reading: Reading, normal_kji: BoolArray) -> tuple[dict[str, FloatArray], int]:
        """Return the rows (N, D) per kind of the patches that see a region, and on how many slices it lies.

        normal_kji: bool (K, J, I), what the user calls normal.
        """
        plane, frame = reading.prepared.plane, reading.prepared.frame
        indexes = [index for index in range(plane.n_slices) if plane.take(normal_kji, index).any()]
        found: dict[str, list[FloatArray]] = {kind: [] for kind in self.config.features}
        for encoded in reading.slices(indexes):
            region = native_to_map(plane.take(normal_kji, encoded.index).astype(np.float32), frame) > 0
            wanted = foreground_patches(region, self.config)
            if encoded.is_compared_inside(self.config):
                wanted &= foreground_patches(encoded.foreground, self.config)
            for kind, rows in found.items():
                rows.append(encoded.features[kind][wanted])
        return {kind: np.concatenate(rows) for kind, rows in found.items() if rows}, len(indexes)

    def describe(self, options: SegmentOptions) -> Mapping[str, Any]:
        """Return what was used, as JSON-able data."""
        return {
            "preset": self.config.preset,
            "config": self.config.to_dict(),
            "config_digest": self.config.digest(),
            "model": {"name": self.model.name, "sha256": self.model.digest, "device": self.model.device},
            "bank": dict(self.bank_words),
            **({"banks_beside": [dict(one.bank_words) for one in self.beside]} if self.beside else {}),
            "preprocessing": self.preprocessing.to_dict(),
            "prompt": options.prompt or self.config.prompt,
            "mask": options.mask or self.config.mask,
            "slices": list(options.slices) if options.slices else None,
            "all_slices": options.all_slices,
            "sensitivity": options.sensitivity,
            "min_volume_ml": options.min_volume_ml,
        }


def heat_unit(config: Config, has_bank: bool = True) -> str:
    """Return the unit of a heat map in words."""
    if isinstance(config, RefinedConfig):
        return MAP_UNIT if has_bank else OWN_UNIT
    assert isinstance(config, PaperConfig)
    return map_unit(config)


def _check_prompts(prepared: PreparedVolume, index: int, prompts: UserPrompts) -> None:
    if not 0 <= index < prepared.plane.n_slices:
        raise InputError(f"slice {index} is not in the volume, which has slices 0 to {prepared.plane.n_slices - 1}")
    if not len(prompts.inside) and prompts.box_xyxy is None:
        raise InputError("no point lies inside and no box was drawn; give one of them")
    rows, columns = prepared.plane.shape_yx
    xy = prompts.xy.reshape(-1, 2)
    if not ((xy >= -0.5).all() and (xy[:, 0] < columns - 0.5).all() and (xy[:, 1] < rows - 0.5).all()):
        raise InputError(
            f"points {np.round(xy, 1).tolist()} must lie within the slice of {columns} x {rows} pixels; "
            "move them inside"
        )
