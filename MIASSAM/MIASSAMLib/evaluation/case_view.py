"""A case cut into the slices that count, its masks in an eighth of their memory, and the records made of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import Config
from ..method import PreparedVolume, Preprocessing
from .cases import EvaluationCase, LabeledVolume
from .counting import LesionCounter, ScoreHistogram, score_bins
from .record import CaseRecord, MapRecord, MaskRecord


class MaskStack:
    """Masks (S, H, W) by row, packed to bits."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Start with every row empty."""
        self._shape = shape
        self._bits: dict[tuple[str, str], np.ndarray] = {}

    def put(self, prompt: str, mask: str, position: int, pixels: BoolArray) -> None:
        """Set one slice (H, W) of a row."""
        key = (prompt, mask)
        if key not in self._bits:
            n_slices, height, width = self._shape
            self._bits[key] = np.zeros((n_slices, height, (width + 7) // 8), np.uint8)
        self._bits[key][position] = np.packbits(pixels, axis=-1)

    def get(self, prompt: str, mask: str) -> BoolArray:
        """Return a row, bool (S, H, W); all False when nothing was put."""
        bits = self._bits.get((prompt, mask))
        if bits is None:
            return np.zeros(self._shape, bool)
        return np.unpackbits(bits, axis=-1, count=self._shape[2]).astype(bool)


MARGIN_SLICES = 2
"""Slices this near to an anomaly stand neither for normal in a bank nor in a held-out level."""


@dataclass(frozen=True)
class CaseView:
    """The slices of a case that show the organ or an anomaly, in display order.

    Attributes:
        slices: int64 (S,), slice indexes.
        truth, organ: bool (S, H, W), within the region that counts.
        region: bool (S, H, W), the pixels that count; None = all.
    """

    case: EvaluationCase
    prepared: PreparedVolume
    slices: AnyArray
    truth: BoolArray
    organ: BoolArray
    lesions: LesionCounter
    region: BoolArray | None = None

    @classmethod
    def of(
        cls, case: EvaluationCase, labeled: LabeledVolume, preprocessing: Preprocessing, config: Config
    ) -> CaseView:
        """Cut a case as the bank's volumes are cut."""
        prepared = PreparedVolume.of(labeled.volume, preprocessing, config)
        region = None if labeled.region_kji is None else prepared.plane.view(labeled.region_kji)
        inside = True if region is None else region
        truth = prepared.plane.view(labeled.truth_kji) & inside
        organ = prepared.plane.view(prepared.foreground_kji) & inside
        counted = np.flatnonzero(organ.any((1, 2)) | truth.any((1, 2)))
        if not len(counted):
            counted = np.arange(len(truth))
        truth, organ = np.ascontiguousarray(truth[counted]), np.ascontiguousarray(organ[counted])
        region = None if region is None else np.ascontiguousarray(region[counted])
        return cls(case, prepared, counted, truth, organ, LesionCounter(truth), region)

    @property
    def is_volume(self) -> bool:
        """Tell a volume from a 2-D image."""
        return self.prepared.plane.n_slices > 1

    def stack(self, array_kji: AnyArray) -> AnyArray:
        """Return the counted slices (S, H, W) of an array over the volume."""
        return np.ascontiguousarray(self.prepared.plane.view(array_kji)[self.slices])

    def map_record(self, values: FloatArray, image_scores: list[float]) -> MapRecord:
        """Count a map (S, H, W); within a region its maximum there stands for a slice's own score, which saw more."""
        regions = [None] * len(self.slices) if self.region is None else self.region
        planes = zip(values, self.truth, self.organ, regions, strict=True)
        slices = [ScoreHistogram.of_slice(*plane) for plane in planes]
        if self.region is not None:
            image_scores = np.max(values, (1, 2), where=self.region, initial=values.min()).tolist()
        placed = np.zeros(self.truth.shape, np.uint32)
        placed[self.truth] = score_bins(values[self.truth])
        return MapRecord.of(slices, image_scores, self.lesions.score_counts(placed))

    def mask_record(self, mask: BoolArray) -> MaskRecord:
        """Count a segmentation (S, H, W)."""
        mask = mask if self.region is None else mask & self.region
        true, marked = (np.count_nonzero(one, axis=(1, 2)) for one in (mask & self.truth, mask))
        return MaskRecord(true, marked, self.lesions.n_found(mask))

    def record(
        self,
        maps: dict[str, MapRecord],
        masks: dict[str, MaskRecord],
        panels: dict[str, AnyArray] | None = None,
        facts: dict[str, object] | None = None,
    ) -> CaseRecord:
        """Return the record of this case."""
        anomalous = np.count_nonzero(self.truth, axis=(1, 2))
        pixels = np.full(len(self.slices), self.truth[0].size)
        if self.region is not None:
            pixels = np.count_nonzero(self.region, axis=(1, 2))
        return CaseRecord(
            name=self.case.name,
            group=self.case.group,
            role=self.case.role,
            is_volume=self.is_volume,
            slices=self.slices,
            pixels=pixels,
            anomalous=anomalous,
            is_far=_is_far(self.slices, anomalous > 0),
            lesion_sizes=np.asarray(self.lesions.sizes),
            maps=maps,
            masks=masks,
            panels=panels or {},
            facts=facts or {},
        )


def _is_far(slices: AnyArray, is_anomalous: BoolArray) -> BoolArray:
    """Tell which slices have no anomalous slice within the margin."""
    sick = slices[is_anomalous]
    if not len(sick):
        return np.ones(len(slices), bool)
    return np.asarray(np.abs(slices[:, None] - sick[None]).min(1) > MARGIN_SLICES)
