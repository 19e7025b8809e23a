"""A case read back from its files, one outline replaced, and its files written again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError
from ..files import reason
from ..volume_io import read_label, read_volume, segment_names
from .html_report import CASE_FILES, MORE_FILES
from .record import case_record, lesion_names
from .write import write_outlines

if TYPE_CHECKING:
    from ..method import CaseResult, Finding, Mark, PreparedVolume, SliceResult

_TAKEN_NEW = ("lesions", "volume_ml", "is_normal")


def base_of(path: Path | str) -> Path:
    """Return folder and name of a case, given any of its files or this itself."""
    text = str(path)
    for end in sorted((*CASE_FILES, *MORE_FILES), key=len, reverse=True):
        if text.endswith(end):
            return Path(text[: -len(end)])
    return Path(text)


def read_record(base: Path) -> dict[str, Any]:
    """Return the record of a case that was segmented.

    Raises:
        InputError: there is none, or it says that the case failed.
    """
    path = Path(f"{base}.json")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["status"] != "done":
            raise InputError(f"{path}: this case failed ({record.get('reason', '')}), so there is nothing to correct")
        if not {"config", "model", "bank", "volume", "slices", "run_sha256"} <= set(record):
            raise KeyError("run")
    except OSError as error:
        raise InputError(f"{path}: {reason(error)}; give the record X.json of a segmented case") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no record of a segmented case; give the X.json that a run wrote") from error
    return dict(record)


def reopen_case(base: Path, record: Mapping[str, Any], prepared: PreparedVolume) -> CaseResult:
    """Return a case as its files say it is.

    Raises:
        InputError: a file is missing or does not fit the volume, or other segments are in it than a run writes.
    """
    from ..method import CaseResult

    said, volume = record["volume"], prepared.volume
    if said["shape_ijk"] != list(volume.shape_kji[::-1]) or not np.allclose(said["ijk_to_ras"], volume.ijk_to_ras):
        raise InputError(f"{volume.name} has another grid or place than {base}.json says; give the volume of that run")
    names = segment_names(f"{base}.seg.nrrd")
    labels = read_label(f"{base}.seg.nrrd", volume)
    if names != lesion_names(len(names)):
        raise InputError(
            f"{base}.seg.nrrd holds the segments {', '.join(names)}, so it was changed in another program; "
            "correct it there, or segment the volume again"
        )
    heat_unit = str(record["heat_map_unit"])
    heat = read_volume(f"{base}_anomaly.nii.gz").voxels_kji if heat_unit else np.zeros(volume.shape_kji, np.float32)
    if heat.shape != volume.shape_kji:
        raise InputError(f"{base}_anomaly.nii.gz has shape {heat.shape}; expected the volume's {volume.shape_kji}")
    slices = tuple(_slice(item, prepared.plane.take(labels, item["slice"])) for item in record["slices"])
    return CaseResult(prepared, slices, heat, labels, heat_unit, record, record["timings_s"], tuple(record["notes"]))


def _slice(item: Mapping[str, Any], labels: AnyArray) -> SliceResult:
    from ..method import SliceResult

    findings = tuple(_finding(one, labels) for one in item["findings"])
    return SliceResult(item["slice"], item["image_score"] or 0.0, item["tail_probability"], findings, item["note"])


def _finding(data: Mapping[str, Any], labels: AnyArray) -> Finding:
    from ..method import Finding

    mask, (x, y) = labels == data["lesion"], data["cog_xy_px"]
    area = data["area_mm2"]
    return Finding(
        mask, (x, y), data["mask"], data["prompt"], data["predicted_iou"], data["area_px"] if area is None else area,
        tuple(data["masks_area_mm2"] or ()), tuple(data["masks_predicted_iou"]), data["score"] or 0.0,
        data["agreement"], data["lesion"], tuple(data["why"]),
    )  # fmt: skip


def replace_part(result: CaseResult, mark: Mark, finding: Finding | None) -> CaseResult:
    """Return a case in which one lesion's part of one slice is another, or gone; other lesions keep their pixels.

    mark: slice and lesion. finding: the new outline, None = nothing is there.
    """
    from ..method import SliceResult

    plane, labels = result.prepared.plane, result.labels_kji.copy()
    pixels = plane.take(labels, mark.index).copy()
    pixels[pixels == mark.lesion] = 0
    new: tuple[Finding, ...] = ()
    if finding is not None and finding.mask.any():
        pixels[finding.mask & (pixels == 0)] = mark.lesion
        new = (replace(finding, lesion=mark.lesion),)
    plane.put(labels, mark.index, pixels)
    by_index = {item.index: item for item in result.slices}
    old = by_index.get(mark.index, SliceResult(mark.index, 0.0))
    is_this = [one.lesion == mark.lesion for one in old.findings]
    place = is_this.index(True) if any(is_this) else len(is_this)
    behind = tuple(one for one in old.findings[place:] if one.lesion != mark.lesion)
    findings = (*old.findings[:place], *new, *behind)
    by_index[mark.index] = replace(old, findings=findings, note="" if findings else "taken away by the user")
    return replace(result, slices=tuple(by_index[index] for index in sorted(by_index)), labels_kji=labels)


def write_correction(base: Path, record: Mapping[str, Any], result: CaseResult, mark: Mark) -> dict[str, Any]:
    """Write a corrected case beside its heat map, and return its record: what was not corrected stays as it was.

    Raises:
        UsageError: a file cannot be written.
    """
    fresh = case_record(result)
    old = {item["slice"]: item for item in record["slices"]}
    slices = [item if item["slice"] == mark.index else old[item["slice"]] for item in fresh["slices"]]
    corrected = next(item for item in slices if item["slice"] == mark.index)
    known = old.get(mark.index, {"findings": []})["findings"]
    kept = iter([one for one in known if one["lesion"] != mark.lesion])
    corrected["findings"] = [one if one["lesion"] == mark.lesion else next(kept) for one in corrected["findings"]]
    box = mark.prompts.box_xyxy
    said = {
        "slice": mark.index,
        "lesion": mark.lesion,
        "points_xy_px": mark.prompts.xy.tolist(),
        "labels": mark.prompts.labels.tolist(),
        "box_xyxy_px": None if box is None else box.tolist(),
    }
    again = {**record, **{key: fresh[key] for key in _TAKEN_NEW}, "slices": slices}
    again["corrections"] = [*record.get("corrections", ()), said]
    write_outlines(base, result, again, Path(f"{base}.seg.dcm").exists())
    return again
