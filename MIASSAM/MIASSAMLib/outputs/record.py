"""A case as plain data: its record (`X.json`), and the rows of the run's tables that follow from the record alone.

So whoever holds a record, here, in another process or from a file, writes the same rows.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from .measure import measure_lesions

if TYPE_CHECKING:
    from ..method import CaseResult, Finding, SliceResult
    from ..volume import Volume

RESEARCH_USE = "Research use only; not a medical device."
Row = dict[str, Any]


def case_record(result: CaseResult, source_sha256: str = "") -> dict[str, Any]:
    """Return everything `X.json` says, in JSON's own types (positions: voxel index i, j, k and RAS mm).

    Sizes in mm, mm2 and ml are None where the volume's voxel size is unknown.

    source_sha256: digest of the input's file or files, "" when it came from memory.
    """
    prepared, run = result.prepared, dict(result.run)
    volume = prepared.volume
    is_known = volume.has_spacing
    record = {
        "case": volume.name,
        "source": volume.source,
        "source_sha256": source_sha256,
        "status": "done",
        "notice": RESEARCH_USE,
        "code_version": __version__,
        "run_sha256": run_digest(run),
        **run,
        "volume": {
            "shape_ijk": volume.shape_kji[::-1],
            "spacing_mm": [round(float(value), 6) for value in volume.spacing_mm] if is_known else None,
            "ijk_to_ras": volume.ijk_to_ras.tolist(),
            "modality": volume.modality,
            "slice_axis": prepared.plane.axis_letter,
            "orientation": prepared.plane.orientation,
            "window": prepared.window.to_dict(),
            "region": _region(volume),
            "contrasts": [
                {"name": one.name, "source": one.source, "sha256": one.voxels_sha256} for one in volume.contrasts
            ],
        },
        "heat_map_unit": result.heat_unit,
        "is_normal": result.is_normal,
        "volume_ml": _digits(int((result.labels_kji > 0).sum()) * volume.voxel_ml) if is_known else None,
        "lesions": [{key: _digits(value) for key, value in one.items()} for one in measure_lesions(result)],
        "slices": [_slice(result, item) for item in result.slices],
        "timings_s": {stage: round(seconds, 3) for stage, seconds in result.timings_s.items()},
        "notes": result.notes,
    }
    plain: dict[str, Any] = as_plain(record)
    return plain


def _region(volume: Volume) -> dict[str, Any] | None:
    """Return the size of the part that was compared and marked, None = all."""
    if volume.region_kji is None:
        return None
    count = int(np.count_nonzero(volume.region_kji))
    size = _digits(count * volume.voxel_ml) if volume.has_spacing else None
    return {"n_voxels": count, "volume_ml": size, "sha256": volume.region_sha256}


def failed_record(case: str, source: str, reason: str) -> dict[str, Any]:
    """Return the record of a case that could not be segmented."""
    plain: dict[str, Any] = as_plain({"case": case, "source": source, "status": "failed", "reason": reason})
    return plain


def run_digest(run: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what decides a result: a segmenter's description without the device and without where the
    bank lies, and the version.
    """
    model = {key: value for key, value in run.get("model", {}).items() if key != "device"}
    data = as_plain({**run_without_paths(run), "model": model, "code_version": __version__})
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def without_paths(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record whose words name files without their folders."""
    source = str(record["source"])
    folder = source[: len(source) - len(PurePath(source).name)]

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(one) for key, one in value.items()}
        if isinstance(value, list):
            return [bare(one) for one in value]
        return value.replace(folder, "") if folder and isinstance(value, str) else value

    named = {key: bare(record[key]) for key in ("source", "reason", "notes") if key in record}
    if record.get("volume"):
        contrasts = [{**one, "source": PurePath(one["source"]).name} for one in record["volume"]["contrasts"]]
        named["volume"] = {**record["volume"], "contrasts": contrasts}
    return {**run_without_paths(record), **named}


def run_without_paths(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return a segmenter's description that does not say where its bank lies."""
    if not run.get("bank"):
        return dict(run)
    beside = [{**bank, "path": ""} for bank in run.get("banks_beside", ())]
    return {**run, "bank": {**run["bank"], "path": ""}, **({"banks_beside": beside} if beside else {})}


def case_row(record: Mapping[str, Any]) -> Row:
    """Return a case's row of `cases.csv`."""
    row: Row = {key: record.get(key, "") for key in ("case", "source", "status", "reason", "volume_ml")}
    if record["status"] == "failed":
        return row
    found = [item for item in record["slices"] if item["findings"]]
    row |= {
        "device": record.get("model", {}).get("device", ""),
        "n_slices": len(record["slices"]),
        "n_segmented_slices": len(found),
        "n_lesions": len(record["lesions"]),
        "top_slice": max(found, key=_image_score)["slice"] if found else "",
        "seconds": round(sum(record["timings_s"].values()), 2),
        "notes": "; ".join(record["notes"]),
        "picture": f"{record['case']}.png",
    }
    return {**row, "summary": f"{found_words(record)} ({row['seconds']} s)"}


def lesion_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return a case's rows of `lesions.csv`."""
    rows = []
    for one in record.get("lesions", ()):
        place = one["centroid_ras_mm"] or (None, None, None)
        row = {key: value for key, value in one.items() if key not in ("centroid_ras_mm", "slices")}
        row |= {f"centroid_ras_{axis}_mm": value for axis, value in zip("xyz", place)}
        row |= {"first_slice": one["slices"][0], "last_slice": one["slices"][-1], "n_slices": len(one["slices"])}
        rows.append({"case": record["case"], **row})
    return rows


def slice_rows(record: Mapping[str, Any]) -> list[Row]:
    """Return a case's rows of `slices.csv`."""
    rows = []
    for item in record.get("slices", ()):
        findings = item["findings"]
        areas = [finding["area_mm2"] for finding in findings]
        row = {key: item[key] for key in ("slice", "image_score", "tail_probability", "note")}
        row |= {"case": record["case"], "n_findings": len(findings)}
        row["lesions"] = " ".join(str(number) for number in sorted({finding["lesion"] for finding in findings}))
        row["area_px"] = sum(finding["area_px"] for finding in findings)
        row["area_mm2"] = None if None in areas else _digits(sum(areas))
        scores = (finding["score"] for finding in findings)
        row["peak_score"] = max((score for score in scores if score is not None), default=None)
        rows.append(row)
    return rows


def found_words(record: Mapping[str, Any]) -> str:
    """Return what was found in a case, in words."""
    n_slices, n_lesions = len(record["slices"]), len(record["lesions"])
    found = [item for item in record["slices"] if item["findings"]]
    if not n_lesions:
        return f"no anomaly found in {counted(n_slices, 'slice')}"
    what = "1 anomaly" if n_lesions == 1 else f"{n_lesions} anomalies"
    top = max(found, key=_image_score, default=None) if record["heat_map_unit"] else None
    where = f", most unusual slice {top['slice']}" if top and n_slices > 1 else ""
    return f"{what} on {len(found)} of {counted(n_slices, 'slice')}, {size_words(record['volume_ml'])}{where}"


def _image_score(item: Mapping[str, Any]) -> float:
    return float(item["image_score"] or 0)


def point_label(item: SliceResult, finding: Finding) -> str:
    """Return the words beside a point: its slice and, where there is a map, its score."""
    return f"slice {item.index}: {finding.score:.3g}" if finding.score else f"slice {item.index}"


def lesion_names(n_lesions: int) -> list[str]:
    """Return segment names: one "Anomaly", or one for each lesion."""
    return ["Anomaly"] if n_lesions <= 1 else [f"Anomaly {number}" for number in range(1, n_lesions + 1)]


def counted(number: int, word: str) -> str:
    """Return a number and its noun: 1 slice, 2 slices."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def area_words(mm2: float | None) -> str:
    """Return an area in words, without an exponent."""
    if mm2 is None:
        return "area unknown"
    return f"{mm2:.0f} mm2" if mm2 >= 100 else f"{mm2:.3g} mm2"


def size_words(ml: float | None) -> str:
    """Return a volume in words: ml, or mm3 where ml would be all zeros."""
    if ml is None:
        return "volume unknown (no pixel size)"
    return f"{ml:.0f} ml" if ml >= 100 else f"{ml:.3g} ml" if ml >= 0.01 or not ml else f"{1000 * ml:.3g} mm3"


def as_plain(value: Any) -> Any:
    """Turn a value into what JSON reads back unchanged; numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): as_plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # a file name that is no UTF-8 holds surrogates, which no file can take
        return value.encode("utf-8", "backslashreplace").decode()
    return value


def _digits(value: Any) -> Any:
    """Round a float to five significant digits, so that neither liters nor cubic millimeters lose theirs."""
    if isinstance(value, list):
        return [_digits(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _slice(result: CaseResult, item: SliceResult) -> dict[str, Any]:
    return {
        "slice": item.index,
        "image_score": round(float(item.image_score), 6) if result.heat_unit else None,
        "tail_probability": None if item.tail_probability is None else float(f"{item.tail_probability:.4g}"),
        "note": item.note,
        "findings": [_finding(result, item, finding) for finding in item.findings],
    }


def _finding(result: CaseResult, item: SliceResult, finding: Finding) -> dict[str, Any]:
    is_known = result.prepared.volume.has_spacing
    return {
        "lesion": finding.lesion,
        "cog_xy_px": _rounded(finding.cog_xy),
        "cog_ijk": _rounded(result.cog_ijk(item, finding)),
        "cog_ras_mm": _rounded(result.cog_ras(item, finding)),
        "prompt": finding.prompt,
        "mask": finding.mask_index,
        "score": round(finding.score, 4) if result.heat_unit else None,
        "predicted_iou": round(finding.predicted_iou, 4),
        "agreement": None if finding.agreement is None else round(finding.agreement, 4),
        "area_px": int(finding.mask.sum()),
        "area_mm2": _digits(float(finding.area_mm2)) if is_known else None,
        "masks_area_mm2": [_digits(float(area)) for area in finding.areas_mm2] if is_known else None,
        "masks_predicted_iou": [round(iou, 4) for iou in finding.predicted_ious],
        "why": finding.why,
    }


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in np.asarray(values).ravel()]
