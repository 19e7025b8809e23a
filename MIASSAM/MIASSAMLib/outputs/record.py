"""A case as JSON-able data: what was found, where, with what, and how long it took."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import __version__
from ..method import CaseResult, Finding, SliceResult

RESEARCH_USE = "Research use only; not a medical device."


def case_record(result: CaseResult) -> dict[str, Any]:
    """Return everything `X.json` says (positions: voxel index i, j, k and RAS mm)."""
    prepared = result.prepared
    return {
        "case": prepared.volume.name,
        "source": prepared.volume.source,
        "notice": RESEARCH_USE,
        "code_version": __version__,
        **result.run,
        "volume": {
            "shape_ijk": list(prepared.volume.shape_kji[::-1]),
            "spacing_mm": [round(float(value), 6) for value in prepared.volume.spacing_mm],
            "ijk_to_ras": prepared.volume.ijk_to_ras.tolist(),
            "modality": prepared.volume.modality,
            "slice_axis": prepared.plane.axis_letter,
            "orientation": prepared.plane.orientation,
            "window": prepared.window.to_dict(),
        },
        "heat_map_unit": result.heat_unit,
        "is_normal": result.is_normal,
        "lesions": [_lesion(result, number) for number in range(1, result.n_lesions + 1)],
        "slices": [_slice(result, item) for item in result.slices],
        "timings_s": {stage: round(seconds, 3) for stage, seconds in result.timings_s.items()},
        "notes": list(result.notes),
    }


def case_row(result: CaseResult) -> dict[str, Any]:
    """Return the case's row of the run's table."""
    record_volume = result.prepared.volume
    segmented = [item for item in result.slices if item.findings]
    best = max(segmented, key=lambda item: item.image_score, default=None)
    volume_ml = float((result.labels_kji > 0).sum()) * record_volume.voxel_ml
    row: dict[str, Any] = {
        "case": record_volume.name,
        "source": record_volume.source,
        "status": "done",
        "reason": "",
        "n_slices": len(result.slices),
        "n_segmented_slices": len(segmented),
        "n_lesions": result.n_lesions,
        "volume_ml": round(volume_ml, 3),
        "top_slice": best.index if best else "",
        "seconds": round(sum(result.timings_s.values()), 2),
        "notes": "; ".join(result.notes),
    }
    return {**row, "summary": _summary(result, row)}


def point_label(item: SliceResult, finding: Finding) -> str:
    """Return the words beside a point: its slice and its score."""
    score = finding.score or item.image_score
    return f"slice {item.index}: {score:.3g}"


def lesion_names(result: CaseResult) -> list[str]:
    """Return segment names: one "Anomaly", or one for each lesion."""
    return ["Anomaly"] if result.n_lesions <= 1 else [f"Anomaly {n}" for n in range(1, result.n_lesions + 1)]


def _summary(result: CaseResult, row: dict[str, Any]) -> str:
    if result.is_normal:
        return f"no anomaly found in {row['n_slices']} slices ({row['seconds']} s)"
    what = "anomaly" if row["n_lesions"] == 1 else f"{row['n_lesions']} anomalies"
    return (
        f"{what} on {row['n_segmented_slices']} of {row['n_slices']} slices, {row['volume_ml']:.1f} ml, "
        f"most unusual slice {row['top_slice']} ({row['seconds']} s)"
    )


def _lesion(result: CaseResult, number: int) -> dict[str, Any]:
    voxels = result.labels_kji == number
    ijk = np.argwhere(voxels)[:, ::-1]
    volume = result.prepared.volume
    slices = [item for item in result.slices if any(f.lesion == number for f in item.findings)]
    scores = [f.score for item in slices for f in item.findings if f.lesion == number]
    return {
        "lesion": number,
        "volume_ml": round(float(voxels.sum()) * volume.voxel_ml, 4),
        "largest_diameter_mm": round(largest_diameter_mm(volume.ijk_to_ras_point(ijk)), 2) if len(ijk) else 0.0,
        "centroid_ras_mm": _rounded(volume.ijk_to_ras_point(ijk.mean(0))) if len(ijk) else None,
        "slices": [item.index for item in slices],
        "score": round(max(scores, default=0.0), 4),
    }


def largest_diameter_mm(points_ras: Any) -> float:
    """Return the largest distance between two of the points (N, 3), on the hull where there is one."""
    from scipy.spatial import ConvexHull, QhullError
    from scipy.spatial.distance import pdist

    points = np.asarray(points_ras, float)
    if len(points) < 2:
        return 0.0
    try:
        points = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        points = points[np.unique(np.concatenate([points.argmin(0), points.argmax(0)]))]
    return float(pdist(points).max())


def _slice(result: CaseResult, item: SliceResult) -> dict[str, Any]:
    return {
        "slice": item.index,
        "image_score": round(item.image_score, 6),
        "tail_probability": None if item.tail_probability is None else float(f"{item.tail_probability:.4g}"),
        "note": item.note,
        "findings": [_finding(result, item, finding) for finding in item.findings],
    }


def _finding(result: CaseResult, item: SliceResult, finding: Finding) -> dict[str, Any]:
    return {
        "lesion": finding.lesion,
        "cog_xy_px": _rounded(np.array(finding.cog_xy)),
        "cog_ijk": _rounded(result.cog_ijk(item, finding)),
        "cog_ras_mm": _rounded(result.cog_ras(item, finding)),
        "prompt": finding.prompt,
        "mask": finding.mask_index,
        "score": round(finding.score, 4),
        "predicted_iou": round(finding.predicted_iou, 4),
        "agreement": None if finding.agreement is None else round(finding.agreement, 4),
        "area_mm2": round(finding.area_mm2, 2),
        "masks_area_mm2": [round(area, 2) for area in finding.areas_mm2],
        "masks_predicted_iou": [round(iou, 4) for iou in finding.predicted_ious],
        "why": list(finding.why),
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values).ravel()]
