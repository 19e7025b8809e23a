"""`miassam segment`: find and outline what is abnormal, in one volume or many."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, MiassamError, UsageError
from ..protocols import no_progress
from .arguments import add_log_argument, add_model_arguments, add_preset_argument, add_spacing_argument
from .companions import add_region_arguments, organ_regions
from .progress import say, staged, terminal_progress, traceback_words
from .reading import ReadOptions, add_reading_arguments, read_options
from .segment_options import preset_of, segment_options

if TYPE_CHECKING:
    from ..method import CaseResult, Segmenter, SegmentOptions
    from ..protocols import Progress
    from ..volume import Volume

Record = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam segment`."""
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders of these")
    what = parser.add_mutually_exclusive_group()
    words = "find what differs from this bank; without one, what is unusual within the volume itself"
    what.add_argument("--bank", type=Path, metavar="NAME.bank", help=words)
    words = "no bank: outline what the points of a Slicer markups file mark (docs/files.md)"
    what.add_argument("--points", type=Path, metavar="FILE.mrk.json", help=words)
    add("--output", required=True, type=Path, metavar="DIR", help="an earlier run in it is extended")
    add_preset_argument(parser, default=None)
    add_model_arguments(parser, default=None)
    add("--modality", default="auto", choices=("auto", "mri", "ct", "oct"))
    add_spacing_argument(parser)
    add("--slices", metavar="A:B", help="only these slices along the slice axis, B not included")
    add("--all-slices", action="store_true", help="segment every slice, as the paper does")
    add("--prompt", choices=("cog", "max", "box"))
    add("--mask", choices=("1", "2", "3", "auto"))
    add("--sensitivity", type=float, default=0.05, metavar="P", help="share of normal volumes that may get any mark")
    add("--min-lesion-ml", type=float, default=0.0, metavar="ML", help="leave out anomalies smaller than this")
    words = "what the map shows (refined); none: features, and in OCT pockets of fluid, too; flair: bright lesions"
    add("--contrast", default="none", choices=("none", "features", "flair"), help=words)
    add("--smooth-axis", type=float, default=0.0, metavar="MM", help="smooth maps across slices by this sigma")
    add("--dicom-seg", action="store_true", help="write X.seg.dcm as well, for DICOM inputs; needs miassam[dicom]")
    add_region_arguments(parser)
    _add_run_arguments(parser)


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a run goes, which changes nothing of what it finds."""
    add = parser.add_argument
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--jobs", type=int, default=1, metavar="N", help="segment N volumes at once, each in a process")
    many.add_argument("--dask", metavar="ADDRESS", help="a Dask cluster, or local[:N]; see docs/cluster.md")
    add_reading_arguments(parser)
    add("--resume", action="store_true", help="keep the results of the same input, model, bank and options")
    add("--no-paths", action="store_true", help="no folder names in records, tables and report")
    add_log_argument(parser)
    add("--json", action="store_true", help="print one JSON line per case")


def run(arguments: argparse.Namespace) -> int:
    """Segment every input; a bad one is a failed row and the others go on."""
    from ..files import check_output_dir, held_alone
    from ..outputs import CASE_FILES, MORE_FILES, RunWriter, run_without_paths
    from ..volume_io import case_names, check_dicom_seg, find_inputs

    check_output_dir(arguments.output)
    options = segment_options(arguments)
    paths = organ_regions(arguments).without(find_inputs(arguments.inputs))
    names = case_names(paths, with_folders=not arguments.no_paths)
    check_output_dir(arguments.output, [name + end for name in names for end in (*CASE_FILES, *MORE_FILES)], paths)
    if arguments.dicom_seg:
        check_dicom_seg(paths)
    choice = SegmenterChoice(
        arguments.bank,
        arguments.model,
        arguments.checkpoint,
        preset_of(arguments),
        arguments.device,
        "" if arguments.modality == "auto" else arguments.modality,
    )
    segmenter = open_choice(choice)
    run_words = segmenter.describe(options)
    shows = not arguments.no_paths
    cases = _tasks(arguments, choice, options, paths, names)
    failures = []
    with (
        held_alone(arguments.output),
        RunWriter(arguments.output, run_words if shows else run_without_paths(run_words)) as writer,
        terminal_progress(not arguments.json) as progress,
    ):
        for record in _segment_cases(segmenter, cases, arguments, progress):
            _tell(writer.add(record), arguments.json)
            failures += [record["kind"]] if record["status"] == "failed" else []
    if failures:
        return 2 if len(failures) == len(cases) and set(failures) == {UsageError.__name__} else 1
    return 0


@dataclasses.dataclass(frozen=True)
class SegmenterChoice:
    """Which segmenter to open, as a worker on another machine gets it; see `api.open_segmenter`."""

    bank: Path | None
    model: str | None
    checkpoint: Path | None
    preset: str | None
    device: str
    modality: str


@functools.cache
def open_choice(choice: SegmenterChoice) -> Segmenter:
    """Open a bank and its model, once in each process."""
    from ..api import open_model, open_segmenter
    from ..bank import read_manifest

    model: Any = choice.model
    if choice.checkpoint:
        name = choice.model or (read_manifest(choice.bank).draft.model_name if choice.bank else "embedded")
        model = open_model(name, choice.checkpoint, choice.device)
    return open_segmenter(choice.bank, model, choice.preset, choice.device, choice.modality)


@dataclasses.dataclass(frozen=True)
class CaseTask:
    """One input to segment; its files are written where it is run."""

    choice: SegmenterChoice
    path: Path
    name: str
    output: Path
    options: SegmentOptions
    points: Path | None = None
    dicom_seg: bool = False
    spacing_kji_mm: tuple[float, ...] | None = None
    resume: bool = False
    show_paths: bool = True
    region: Path | None = None
    reading: ReadOptions = ReadOptions()


def run_case_task(task: CaseTask) -> Record:
    """Segment one input on a worker, which loads bank and model once."""
    return segment_case(open_choice(task.choice), task, no_progress)


def _tasks(
    arguments: argparse.Namespace,
    choice: SegmenterChoice,
    options: SegmentOptions,
    paths: list[Path],
    names: list[str],
) -> list[CaseTask]:
    """Return the work on each input."""
    kept = CaseTask(
        choice,
        paths[0],
        names[0],
        arguments.output,
        options,
        points=arguments.points,
        dicom_seg=arguments.dicom_seg,
        spacing_kji_mm=tuple(arguments.spacing) if arguments.spacing else None,
        resume=arguments.resume,
        show_paths=not arguments.no_paths,
        reading=read_options(arguments, len(paths)),
    )
    return [
        dataclasses.replace(kept, path=path, name=name, region=region)
        for path, name, region in zip(paths, names, organ_regions(arguments).beside(paths), strict=True)
    ]


def _segment_cases(
    segmenter: Segmenter, cases: list[CaseTask], arguments: argparse.Namespace, progress: Progress
) -> Iterator[Record]:
    """Yield the records of the cases, in order."""
    if not arguments.dask and min(arguments.jobs, len(cases)) == 1:
        for number, case in enumerate(cases, 1):
            words = f"volume {number} of {len(cases)}, {case.name}: " if len(cases) > 1 else ""
            yield segment_case(segmenter, case, staged(progress, words))
        return
    from ..distributed import connect, map_in_order, map_on_processes

    with contextlib.ExitStack() as stack:
        if arguments.dask:
            records = map_in_order(stack.enter_context(connect(arguments.dask)), run_case_task, cases)
        else:
            records = stack.enter_context(map_on_processes(arguments.jobs, run_case_task, cases))
        for done, record in enumerate(records, 1):
            progress("segmenting volumes", done, len(cases))
            yield record


def segment_case(segmenter: Segmenter, task: CaseTask, progress: Progress) -> Record:
    """Segment one input and write its files; return its record, or why it failed (`kind`: the error's name)."""
    from ..outputs import failed_record, without_paths, write_case
    from ..volume_io import source_digest

    try:
        digest = source_digest(task.path)
        if (
            task.resume
            and not (task.points or task.spacing_kji_mm)
            and (known := _earlier_record(segmenter, task, digest))
        ):
            return known
        volume = _volume_of(task)
        if task.points:
            result = _outline_points(segmenter, volume, task)
        else:
            result = segmenter.segment(volume, task.options, progress, digest)
        return write_case(task.output, result, digest, task.show_paths, task.dicom_seg)
    except Cancelled:
        raise
    except MiassamError as error:
        reason, kind = str(error), type(error).__name__
    except MemoryError as error:
        reason, kind = (
            f"more memory is needed than there is ({error}); segment fewer slices with --slices",
            "MemoryError",
        )
    except Exception as error:  # a bug met in one volume must not stop the others
        reason, kind = traceback_words(error, task.output), type(error).__name__
    failed = failed_record(task.name, str(task.path), reason)
    return {**(failed if task.show_paths else without_paths(failed)), "kind": kind}


def _outline_points(segmenter: Segmenter, volume: Volume, task: CaseTask) -> CaseResult:
    """Outline what a markups file marks on a volume."""
    from .marks import marks_of_file

    assert task.points is not None
    reading = segmenter.open(volume)
    result = segmenter.outline(reading, marks_of_file(task.points, reading.prepared), task.options)
    return dataclasses.replace(result, notes=(*result.notes, f"outlined from the points of {task.points.name}"))


def _earlier_record(segmenter: Segmenter, task: CaseTask, digest: str) -> Record | None:
    """Return the record that an earlier run left of the same input and settings, all its files being there."""
    from ..outputs import CASE_FILES, MORE_FILES, run_digest

    base = f"{task.output / task.name}"
    if not all(Path(base + end).is_file() for end in (*CASE_FILES, *(MORE_FILES if task.dicom_seg else ()))):
        return None
    try:
        record = json.loads(Path(f"{base}.json").read_text(encoding="utf-8"))
        found = record["source_sha256"], record["run_sha256"]
        region = (record["volume"]["region"] or {}).get("sha256", "")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if found != (digest, run_digest(segmenter.describe(task.options))) or bool(region) != bool(task.region):
        return None
    return dict(record) if not region or region == _volume_of(task).region_sha256 else None


def _volume_of(task: CaseTask) -> Volume:
    """Read the input of a task, bounded to its region."""
    volume = dataclasses.replace(task.reading.read(task.path, task.region), name=task.name)
    return volume.respaced(task.spacing_kji_mm) if task.spacing_kji_mm else volume


def _tell(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(json.dumps(row))
    elif row["status"] == "failed":
        say(f"{row['case']}: FAILED: {row['reason']}")
    else:
        say(f"{row['case']}: {row['summary']}")
        if row.get("notes"):
            say(f"  note: {row['notes']}")
