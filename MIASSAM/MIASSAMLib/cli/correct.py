"""`miassam correct`: outline one slice of a result again, from points or a box."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UsageError
from .arguments import add_model_arguments
from .marks import Numbers
from .progress import say

if TYPE_CHECKING:
    from ..method import CaseResult, Finding, Segmenter, SegmentOptions, UserPrompts
    from ..volume import Volume

_OPTIONS = ("prompt", "mask", "all_slices", "sensitivity", "min_volume_ml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam correct`."""
    add = parser.add_argument
    add("result", type=Path, metavar="RESULT", help="record of a case, X.json, or another of its files")
    add("--slice", type=int, metavar="N", help="slice index along the slice axis, as in slices.csv")
    many: dict[str, Any] = {"nargs": "+", "type": float, "action": "append", "default": []}
    add("--point", **many, metavar="X", help="X Y of a pixel inside; with --ras X Y Z; may be given again")
    add("--outside", **many, metavar="X", help="a point that is not part of it")
    add("--box", nargs="+", type=float, metavar="X", help="two corners X0 Y0 X1 Y1; with --ras twice X Y Z")
    add("--ras", action="store_true", help="positions in patient space, mm, instead of pixels of the slice")
    add("--remove", action="store_true", help="take the outline of this slice away")
    words = "which anomaly: its number, or new; by default the one at the point, else the first"
    add("--lesion", metavar="N", help=words)
    add("--input", type=Path, metavar="FILE", help="the volume, where it is no longer where the record says")
    add("--bank", type=Path, metavar="NAME.bank", help="the bank, where it is no longer where the record says")
    add("--region", type=Path, metavar="MASK", help="the region that the result was bounded to, if it was")
    words = "the further contrasts, or their banks, where they are no longer where the record says"
    add("--with", nargs="+", type=Path, default=[], dest="contrasts", metavar="FILE", help=words)
    add("--with-bank", nargs="+", type=Path, default=[], dest="contrast_banks", metavar="NAME.bank", help=words)
    add_model_arguments(parser, default=None)
    add("--json", action="store_true", help="print the case's row as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Correct one slice and write the outputs again."""
    from ..method import Mark, UserPrompts, slice_range
    from ..outputs import RunWriter, base_of, own_columns, read_record, reopen_case, replace_part, write_correction

    given = Numbers(arguments.point, arguments.outside, arguments.box, arguments.slice, arguments.ras)
    if not arguments.remove:
        given.check()
    elif arguments.slice is None or given.inside or given.outside or given.box:
        raise UsageError("--remove takes an outline away: give --slice N (and --lesion) and no points")
    base = base_of(arguments.result)
    record = read_record(base)
    segmenter = _open(arguments, record)
    options = options_of(record)
    volume = _bounded(_read_input(arguments.input, base, record), arguments.region, record)
    reading = segmenter.open(_with_contrasts(volume, arguments.contrasts, record))
    if record["heat_map_unit"]:
        segmenter.compare_with_itself(reading)
    case = reopen_case(base, record, reading.prepared)
    if arguments.remove:
        slice_range(case.prepared.plane.n_slices, (arguments.slice, arguments.slice + 1))
        finding, prompts, index = None, UserPrompts.nothing(), arguments.slice
    else:
        index, prompts = given.on(reading.prepared)
        finding = segmenter.correct(reading, index, prompts, options)
    mark = Mark(index, prompts, _lesion(arguments.lesion, case, index, prompts))
    case = replace_part(case, mark, finding)
    with RunWriter(base.parent, segmenter.describe(options), own_columns(base.parent)) as writer:
        row = writer.add(write_correction(base, record, case, mark))
    said = f"{row['case']}: anomaly {mark.lesion} on slice {index}: {_words(finding, case)}; {row['summary']}"
    say(json.dumps(row) if arguments.json else said)
    return 0


def options_of(record: Mapping[str, Any]) -> SegmentOptions:
    """Return the options of a record's run."""
    from ..method import SegmentOptions

    indexes = [item["slice"] for item in record["slices"]]
    of_run = (min(indexes), max(indexes) + 1) if indexes else None
    return SegmentOptions(slices=of_run, **{key: record[key] for key in _OPTIONS})


def _open(arguments: argparse.Namespace, record: Mapping[str, Any]) -> Segmenter:
    """Open what the record was made with."""
    from ..api import open_model, reopen_segmenter

    said = record["bank"]
    bank = arguments.bank or (Path(said["path"]) if said.get("path") else None)
    if bank is None and said:
        raise UsageError(f"the record does not say where the bank {said['name']} lies; give it with --bank")
    name = arguments.model or record["model"]["name"]
    banks = arguments.contrast_banks or [Path(one["path"]) for one in record.get("banks_beside", ())]
    return reopen_segmenter(record, bank, open_model(name, arguments.checkpoint, arguments.device), banks)


def _read_input(given: Path | None, base: Path, record: Mapping[str, Any]) -> Volume:
    """Read the volume of a record: the file it names, one of its name beside the results, or the given one."""
    from dataclasses import replace

    import numpy as np

    from ..volume_io import read_volume, source_digest

    named = Path(record["source"])
    places = [given] if given else [named, base.parent / named.name, Path(f"{base}.nii.gz")]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise InputError(f"the volume {record['source']} is not there any more; say with --input where it lies")
    if (digest := record["source_sha256"]) and source_digest(path) != digest:
        raise InputError(f"{path} is not the volume of this record (its SHA-256 differs); give that one with --input")
    volume, said = replace(read_volume(path), name=record["case"]), record["volume"]["spacing_mm"]
    was_given = said is not None and not np.allclose(said, volume.spacing_mm, rtol=1e-4)  # the run's --spacing
    return volume.respaced(said[::-1]) if was_given else volume


def _with_contrasts(volume: Volume, given: Sequence[Path], record: Mapping[str, Any]) -> Volume:
    """Return a volume with the further contrasts of the record."""
    from ..api import with_contrasts

    said = record["volume"].get("contrasts", ())
    paths = given or [Path(one["source"]) for one in said]
    if lost := [str(path) for path in paths if not path.exists()]:
        raise InputError(f"the contrast {lost[0]} is not there any more; say with --with where it lies")
    volume = with_contrasts(volume, paths)
    if [one.voxels_sha256 for one in volume.contrasts] != [one["sha256"] for one in said]:
        raise InputError("the further contrasts are not those of this record; give those with --with, in order")
    return volume


def _bounded(volume: Volume, region: Path | None, record: Mapping[str, Any]) -> Volume:
    """Bound a volume as the record's was."""
    from ..api import bounded

    volume = bounded(volume, region)
    if volume.region_sha256 != (record["volume"]["region"] or {}).get("sha256", ""):
        was = "bounded to a region" if record["volume"]["region"] else "not bounded to a region"
        raise UsageError(f"this result was {was}, and {region or 'no region'} came; give --region as it was then")
    return volume


def _lesion(wanted: str | None, case: CaseResult, index: int, prompts: UserPrompts) -> int:
    """Return the number of the lesion that a correction is about.

    Raises:
        UsageError: there is no such lesion, or it is not clear which one is meant.
    """
    import numpy as np

    new, labels = case.n_lesions + 1, case.prepared.plane.take(case.labels_kji, index)
    if wanted is not None:
        known = {"new": new, **{str(number): number for number in range(1, new)}}
        if wanted not in known:
            raise UsageError(f"--lesion {wanted}: there is no such anomaly; give one of {', '.join(known)}")
        return known[wanted]
    here = [int(number) for number in np.unique(labels[labels > 0])]
    if prompts.box_xyxy is not None:
        x0, y0, x1, y1 = np.round(prompts.box_xyxy + 0.5).astype(int)
        counts = np.bincount(labels[max(y0, 0) : y1, max(x0, 0) : x1].ravel())
        return int(counts[1:].argmax()) + 1 if counts[1:].any() else new
    if len(prompts.inside) and here:
        y, x = (np.argwhere(labels > 0) - prompts.shown_xy[::-1]).T
        nearest = np.argwhere(labels > 0)[np.argmin(x**2 + y**2)]
        return int(labels[tuple(nearest)])
    if len(prompts.inside):
        return 1
    if len(here) != 1:
        raise UsageError(f"the anomalies on slice {index} are {here}; say with --lesion which one is meant")
    return here[0]


def _words(finding: Finding | None, case: CaseResult) -> str:
    if finding is None or not finding.mask.any():
        return "nothing is outlined now"
    size = f"{finding.area_mm2:.4g} mm2" if case.prepared.volume.has_spacing else f"{int(finding.mask.sum())} pixels"
    return f"mask {finding.mask_index}, {size}"
