"""Results as JSON-able data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import AnyArray
from ..method import CaseResult, Finding, SliceResult
from ..volume import SlicePlane


def case_answer(case: CaseResult) -> dict[str, Any]:
    """Describe a case without its arrays."""
    plane = case.prepared.plane
    return {
        "slice_axis": plane.slice_axis,
        "n_slices": plane.n_slices,
        "n_lesions": case.n_lesions,
        "heat_unit": case.heat_unit,
        "slices": [slice_answer(case, result) for result in case.slices],
        "run": jsonable(case.run),
        "notes": list(case.notes),
        "timings_s": jsonable(case.timings_s),
    }


def slice_answer(case: CaseResult, result: SliceResult) -> dict[str, Any]:
    """Describe one slice and its findings."""
    return {
        "index": result.index,
        "image_score": jsonable(result.image_score),
        "tail_probability": jsonable(result.tail_probability),
        "note": result.note,
        "findings": [finding_answer(each, case.cog_ijk(result, each)) for each in result.findings],
    }


def finding_answer(finding: Finding, cog_ijk: AnyArray) -> dict[str, Any]:
    """Describe one outlined part; cog_ijk are the voxel indexes of its center of gravity."""
    return {
        "lesion": finding.lesion,
        "cog_ijk": [float(value) for value in cog_ijk],
        "score": jsonable(finding.score),
        "predicted_iou": jsonable(finding.predicted_iou),
        "area_mm2": jsonable(finding.area_mm2),
        "mask_index": finding.mask_index,
        "prompt": finding.prompt,
        "why": list(finding.why),
    }


def storage_slice(plane: SlicePlane, mask: AnyArray) -> AnyArray:
    """Return a slice mask (H, W) in storage order: uint8 (K, J, I) with one voxel along the slice axis."""
    shape = list(plane.shape_kji)
    shape[2 - plane.slice_axis] = 1
    thin = np.zeros(shape, np.uint8)
    plane.put(thin, 0, mask.astype(np.uint8))
    return thin


def jsonable(value: Any) -> Any:
    """Turn numpy numbers into Python's, and what is not finite into None."""
    if isinstance(value, dict) or hasattr(value, "items"):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
