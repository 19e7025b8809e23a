"""What comes out: findings on slices, and the case they make."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..volume.slice_image import frame_to_native
from .prepare import PreparedVolume


@dataclass(frozen=True)
class Finding:
    """One outlined part of one slice.

    Attributes:
        mask: bool (H, W), native pixels in display order.
        cog_xy: center of gravity, native pixel (x, y).
        mask_index: "1", "2", "3", or "map" when no SAM mask agreed with the map.
        prompt: "cog", "max", "box" or "user".
        predicted_iou: SAM's own estimate for this mask, in [0, 1] (about).
        agreement: how well the mask agrees with the map, None where it was not used.
        area_mm2: area of the chosen mask.
        areas_mm2: areas of masks 1, 2, 3.
        predicted_ious: SAM's estimates for masks 1, 2, 3.
        score: largest map value inside the mask, in the map's unit.
        lesion: number of the lesion it belongs to, from 1.
        why: how the candidates compared, for the report.
    """

    mask: BoolArray
    cog_xy: tuple[float, float]
    mask_index: str
    prompt: str
    predicted_iou: float
    area_mm2: float
    areas_mm2: tuple[float, ...]
    predicted_ious: tuple[float, ...]
    score: float
    agreement: float | None = None
    lesion: int = 1
    why: tuple[str, ...] = ()


@dataclass(frozen=True)
class SliceResult:
    """One slice after the whole way.

    Attributes:
        index: slice index along the axis.
        image_score: larger = more unusual: the largest value of the map (`paper`, or no bank), or -log10 of
            `tail_probability` (calibrated presets).
        tail_probability: share of held-out normal slices that score at least as high; None without calibration.
        findings: parts outlined; empty when nothing unusual was found.
        note: why there is nothing, in words; empty otherwise.
    """

    index: int
    image_score: float
    tail_probability: float | None = None
    findings: tuple[Finding, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class CaseResult:
    """Everything about one volume.

    Attributes:
        heat_kji: float32 (K, J, I), the anomaly map in the volume's voxels, in `heat_unit`.
        labels_kji: uint16 (K, J, I), 0 = normal, n = lesion n.
        timings_s: seconds by stage.
        notes: what the user should know.
    """

    prepared: PreparedVolume
    slices: tuple[SliceResult, ...]
    heat_kji: FloatArray
    labels_kji: AnyArray
    heat_unit: str
    run: Mapping[str, Any]
    timings_s: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def is_normal(self) -> bool:
        """Tell whether nothing was segmented."""
        return not self.labels_kji.any()

    @property
    def n_lesions(self) -> int:
        """Number of lesions."""
        return int(self.labels_kji.max(initial=0))

    def cog_ijk(self, result: SliceResult, finding: Finding) -> AnyArray:
        """Return voxel indexes (3,) of a finding's center of gravity."""
        return self.prepared.plane.ijk(result.index, np.array(finding.cog_xy))

    def cog_ras(self, result: SliceResult, finding: Finding) -> AnyArray:
        """Return the RAS position (3,) in mm of a finding's center of gravity."""
        return self.prepared.volume.ijk_to_ras_point(self.cog_ijk(result, finding))


@dataclass
class SegmentedSlices:
    """What a run has found so far.

    Attributes:
        heat_kji, labels_kji: as in `CaseResult`.
        slices: results in the order of the slices.
    """

    prepared: PreparedVolume
    heat_kji: FloatArray
    labels_kji: AnyArray
    slices: list[SliceResult] = field(default_factory=list)
    notes: tuple[str, ...] = ()

    @classmethod
    def empty(cls, prepared: PreparedVolume, outside: float = 0.0) -> SegmentedSlices:
        """Return a run without results; outside: heat where nothing is measured."""
        shape = prepared.volume.shape_kji
        return cls(prepared, np.full(shape, outside, np.float32), np.zeros(shape, np.uint16))

    def put_heat(self, index: int, values: FloatArray) -> None:
        """Place a map (256, 256) of the frame into the volume."""
        self.prepared.plane.put(self.heat_kji, index, frame_to_native(values, self.prepared.frame))

    def put(self, result: SliceResult) -> None:
        """Add a slice and paint its findings; where they overlap the first lies on top."""
        self.slices.append(result)
        if result.findings:
            pixels = self.prepared.plane.take(self.labels_kji, result.index).copy()
            for finding in reversed(result.findings):
                pixels[finding.mask] = finding.lesion
            self.prepared.plane.put(self.labels_kji, result.index, pixels)
