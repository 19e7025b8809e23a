"""What is measured of a lesion: volume, parts, the two diameters of its main part, scores, place and side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from ..diameters import main_part, widest

if TYPE_CHECKING:
    from ..method import CaseResult
    from ..volume import Volume

_MIDLINE_SHARE = 0.05
"""A centroid nearer to the middle than this part of the patient's width is on the midline."""


def measure_lesions(result: CaseResult) -> list[dict[str, Any]]:
    """Return one dictionary for each lesion, in order; sizes in mm are None where the voxel size is unknown."""
    boxes = ndimage.find_objects(result.labels_kji)
    return [_lesion(result, number, box) for number, box in enumerate(boxes, 1) if box is not None]


def _lesion(result: CaseResult, number: int, box: tuple[slice, ...]) -> dict[str, Any]:
    volume, plane = result.prepared.volume, result.prepared.plane
    voxels = result.labels_kji[box] == number
    heat = result.heat_kji[box][voxels]
    ijk = (np.argwhere(voxels) + [side.start for side in box])[:, ::-1]
    slices = sorted(int(index) for index in np.unique(ijk[:, plane.slice_axis]))
    main, n_parts = main_part(voxels)
    size = widest(main, volume.spacing_mm, plane.slice_axis) if volume.has_spacing else None
    centroid = volume.ijk_to_ras_point(ijk.mean(0))
    return {
        "lesion": number,
        "volume_ml": len(ijk) * volume.voxel_ml if volume.has_spacing else None,
        "n_voxels": len(ijk),
        "longest_diameter_mm": size.longest if size else None,
        "perpendicular_diameter_mm": size.perpendicular if size else None,
        "diameter_slice": box[2 - plane.slice_axis].start + size.slice_index if size else None,
        "n_parts": n_parts,
        "mean_score": float(heat.mean()) if result.heat_unit else None,
        "peak_score": float(heat.max()) if result.heat_unit else None,
        "score_unit": result.heat_unit,
        "centroid_ras_mm": centroid.tolist() if volume.has_spacing else None,
        "side": side_of(result, float(centroid[0])),
        "region_share": len(ijk) / region if (region := _region_voxels(volume)) else None,
        "slices": slices,
    }


def _region_voxels(volume: Volume) -> int:
    return 0 if volume.region_kji is None else int(np.count_nonzero(volume.region_kji))


def side_of(result: CaseResult, ras_x: float) -> str:
    """Return "left", "right" or "midline" of the patient, against the middle of the foreground; "" where unknown.

    A picture has no sides, and a scan of one eye has no middle.
    """
    volume = result.prepared.volume
    if not volume.has_spacing or volume.modality == "oct":
        return ""
    spans = [np.flatnonzero(result.prepared.foreground_kji.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    if not all(len(span) for span in spans):
        return ""
    corners = np.array(np.meshgrid(*[(span[0], span[-1]) for span in spans])).reshape(3, -1).T
    reach = volume.ijk_to_ras_point(corners)[:, 0]
    width = float(np.ptp(reach))
    offset = ras_x - float(reach.max() + reach.min()) / 2
    if width < 2 * float(volume.spacing_mm.max()):
        return ""
    return "midline" if abs(offset) < _MIDLINE_SHARE * width else "right" if offset > 0 else "left"
