"""A case cut into the slices that count, and the records made from maps and masks over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..method import PreparedVolume, Preprocessing
from .datasets import EvaluationCase, LabeledVolume
from .metrics import LesionCounter, ScoreHistogram, SliceCounts, score_bins
from .record import CaseRecord, MapRecord, MaskRecord

MARGIN_SLICES = 2
"""Slices this near to an anomaly stand neither for normal in a bank nor in a held-out level."""


@dataclass(frozen=True)
class CaseView:
    """The slices of a case that show the organ or an anomaly, in display order.

    Attributes:
        slices: int64 (S,), slice indexes.
        truth, organ: bool (S, H, W).
    """

    case: EvaluationCase
    prepared: PreparedVolume
    slices: AnyArray
    truth: BoolArray
    organ: BoolArray
    lesions: LesionCounter

    @classmethod
    def of(cls, case: EvaluationCase, labeled: LabeledVolume, preprocessing: Preprocessing) -> CaseView:
        """Cut a case as the bank's volumes are cut."""
        prepared = PreparedVolume.of(labeled.volume, preprocessing)
        truth = prepared.plane.view(labeled.truth_kji)
        organ = prepared.plane.view(prepared.foreground_kji)
        counted = np.flatnonzero(organ.any((1, 2)) | truth.any((1, 2)))
        if not len(counted):
            counted = np.arange(len(truth))
        truth, organ = np.ascontiguousarray(truth[counted]), np.ascontiguousarray(organ[counted])
        return cls(case, prepared, counted, truth, organ, LesionCounter(truth))

    @property
    def is_volume(self) -> bool:
        """Tell a volume from a 2-D image."""
        return self.prepared.plane.n_slices > 1

    def stack(self, array_kji: AnyArray) -> AnyArray:
        """Return the counted slices (S, H, W) of an array over the volume."""
        return np.ascontiguousarray(self.prepared.plane.view(array_kji)[self.slices])

    def map_record(self, values: FloatArray, image_scores: list[float]) -> MapRecord:
        """Count a map (S, H, W)."""
        slices = [ScoreHistogram.of_slice(values[n], self.truth[n], self.organ[n]) for n in range(len(self.slices))]
        bins = score_bins(values[self.truth]) if self.truth.any() else np.empty(0, np.uint32)
        placed = np.zeros(self.truth.shape, np.uint32)
        placed[self.truth] = bins
        return MapRecord.of(slices, image_scores, self.lesions.score_counts(placed))

    def mask_record(self, mask: BoolArray) -> MaskRecord:
        """Count a segmentation (S, H, W)."""
        counts = SliceCounts.of(mask, self.truth)
        return MaskRecord(counts.true, counts.marked, self.lesions.n_found(mask))

    def record(
        self,
        maps: dict[str, MapRecord],
        masks: dict[str, MaskRecord],
        panels: dict[str, AnyArray] | None = None,
        facts: dict[str, object] | None = None,
    ) -> CaseRecord:
        """Return the record of this case."""
        anomalous = np.count_nonzero(self.truth, axis=(1, 2))
        return CaseRecord(
            name=self.case.name,
            group=self.case.group,
            role=self.case.role,
            is_volume=self.is_volume,
            slices=self.slices,
            pixels=int(self.truth[0].size),
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
