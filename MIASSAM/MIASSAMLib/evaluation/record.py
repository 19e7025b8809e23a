"""What is kept of a case once it is scored: counts enough for every figure, never its pixels.

A record is a few hundred kilobytes, so an interrupted run resumes from its records and tables are
made again without the model.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, DoubleArray
from ..files import atomic_path
from .counting import COLUMNS, ScoreHistogram

_RECORD_VERSION = 2


@dataclass(frozen=True)
class MapRecord:
    """One anomaly map of one case.

    Attributes:
        offsets: int64 (S + 1,), where each slice's bins start.
        bins: uint32 (U,); counts: float32 (U, 5), see `metrics.COLUMNS`.
        n_regions: int64 (S,).
        image_scores: float64 (S,).
        lesion_bins: int64 (V, 3): lesion number, bin, voxels.
    """

    offsets: AnyArray
    bins: AnyArray
    counts: AnyArray
    n_regions: AnyArray
    image_scores: DoubleArray
    lesion_bins: AnyArray

    @classmethod
    def of(cls, slices: list[ScoreHistogram], image_scores: list[float], lesion_bins: AnyArray) -> MapRecord:
        """Join the histograms of a case's slices."""
        offsets = np.cumsum([0, *(len(one.bins) for one in slices)])
        bins = np.concatenate([one.bins for one in slices]) if slices else np.empty(0, np.uint32)
        counts = np.concatenate([one.counts for one in slices]) if slices else np.empty((0, len(COLUMNS)))
        regions = np.array([one.n_regions for one in slices], np.int64)
        return cls(offsets, bins, counts.astype(np.float32), regions, np.array(image_scores, float), lesion_bins)

    def histogram(self, of_slices: AnyArray | None = None) -> ScoreHistogram:
        """Return the counts of the case, or of some slices, bool (S,); bins may repeat."""
        if of_slices is None:
            return ScoreHistogram(self.bins, self.counts.astype(float), int(self.n_regions.sum()))
        kept = np.repeat(of_slices, np.diff(self.offsets))
        return ScoreHistogram(self.bins[kept], self.counts[kept].astype(float), int(self.n_regions[of_slices].sum()))


@dataclass(frozen=True)
class MaskRecord:
    """One segmentation of one case: pixels per slice (S,), and lesions found."""

    true: AnyArray
    marked: AnyArray
    n_found: int


@dataclass(frozen=True)
class CaseRecord:
    """Everything kept of one case.

    Attributes:
        slices: int64 (S,), indexes of the slices that show the organ or an anomaly; only these count.
        pixels: int64 (S,) original pixels that count per slice: all, or those of the case's region.
        anomalous: int64 (S,) anomalous pixels per slice.
        is_far: bool (S,), no anomaly within the margin of slices: what may stand for normal.
        lesion_sizes: int64 (L,), voxels of each lesion that counts.
        maps, masks: by map name and by row key.
        panels: uint8 images of a few slices for the figure sheet.
        facts: JSON-able words and times.
    """

    name: str
    group: str
    role: str
    is_volume: bool
    slices: AnyArray
    pixels: AnyArray
    anomalous: AnyArray
    is_far: AnyArray
    lesion_sizes: AnyArray
    maps: Mapping[str, MapRecord]
    masks: Mapping[str, MaskRecord]
    panels: Mapping[str, AnyArray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


_HEAD = ("name", "group", "role", "is_volume", "facts")
_ARRAYS = ("slices", "pixels", "anomalous", "is_far", "lesion_sizes")
_MAP_ARRAYS = ("offsets", "bins", "counts", "n_regions", "image_scores", "lesion_bins")


def save_record(path: Path, record: CaseRecord, digest: str) -> None:
    """Write a record in one step; `digest` names the run it belongs to."""
    head = {key: getattr(record, key) for key in _HEAD}
    head |= {"version": _RECORD_VERSION, "digest": digest}
    head["masks"] = {key: mask.n_found for key, mask in record.masks.items()}
    head["maps"] = list(record.maps)
    arrays = {key: getattr(record, key) for key in _ARRAYS}
    for name, one in record.maps.items():
        arrays |= {f"map/{name}/{key}": getattr(one, key) for key in _MAP_ARRAYS}
    for name, mask in record.masks.items():
        arrays[f"mask/{name}"] = np.stack([mask.true, mask.marked])
    arrays |= {f"panel/{name}": panel for name, panel in record.panels.items()}
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, head=np.array(json.dumps(head)), **arrays)


def load_record(path: Path, digest: str) -> CaseRecord | None:
    """Read a record; None when there is none, it is damaged, or another run wrote it."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            head = json.loads(str(arrays["head"]))
            if (head["version"], head["digest"]) != (_RECORD_VERSION, digest):
                return None
            return _from_arrays(head, {name: arrays[name] for name in arrays.files})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _from_arrays(head: dict[str, Any], arrays: dict[str, AnyArray]) -> CaseRecord:
    maps = {name: MapRecord(*(arrays[f"map/{name}/{key}"] for key in _MAP_ARRAYS)) for name in head["maps"]}
    counts = {key: arrays[f"mask/{key}"] for key in head["masks"]}
    masks = {key: MaskRecord(counts[key][0], counts[key][1], n_found) for key, n_found in head["masks"].items()}
    panels = {name.split("/", 1)[1]: array for name, array in arrays.items() if name.startswith("panel/")}
    known = {key: head[key] for key in _HEAD} | {key: arrays[key] for key in _ARRAYS}
    return CaseRecord(**known, maps=maps, masks=masks, panels=panels)
