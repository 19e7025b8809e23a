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
from .arguments import add_log_argument, add_model_arguments, add_preset_argument, parse_slices
from .progress import say, staged, terminal_progress, traceback_words

if TYPE_CHECKING:
    from ..method import Segmenter, SegmentOptions
    from ..protocols import Progress

Record = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam segment`."""
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders of these")
    add("--bank", required=True, type=Path, metavar="NAME.bank")
    add("--output", required=True, type=Path, metavar="DIR", help="an earlier run in it is extended")
    add_preset_argument(parser, default=None)
    add_model_arguments(parser, default=None)
    add("--modality", default="auto", choices=("auto", "mri", "ct", "oct"))
    add("--slices", metavar="A:B", help="only these slices along the slice axis, B not included")
    add("--all-slices", action="store_true", help="segment every slice, as the paper does")
    add("--prompt", choices=("cog", "max", "box"))
    add("--mask", choices=("1", "2", "3", "auto"))
    add("--sensitivity", type=float, default=0.05, metavar="P", help="share of normal volumes that may get any mark")
    add("--min-lesion-ml", type=float, default=0.0, metavar="ML", help="leave out anomalies smaller than this")
    words = "flair: lesions are bright; the map shows how bright tissue is beside normal tissue (refined)"
    add("--contrast", default="none", choices=("none", "flair"), help=words)
    add("--smooth-axis", type=float, default=0.0, metavar="MM", help="smooth maps across slices by this sigma")
    _add_run_arguments(parser)


def _add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add how a run goes, which changes nothing of what it finds."""
    add = parser.add_argument
    many = parser.add_mutually_exclusive_group()
    many.add_argument("--jobs", type=int, default=1, metavar="N", help="segment N volumes at once, each in a process")
    many.add_argument("--dask", metavar="ADDRESS", help="a Dask cluster, or local[:N]; see docs/cluster.md")
    add("--resume", action="store_true", help="keep the results of the same input, model, bank and options")
    add("--no-paths", action="store_true", help="no folder names in records, tables and report")
    add_log_argument(parser)
    add("--json", action="store_true", help="print one JSON line per case")


def run(arguments: argparse.Namespace) -> int:
    """Segment every input; a bad one is a failed row and the others go on."""
    from ..files import check_output_dir, held_alone
    from ..outputs import CASE_FILES, RunWriter
    from ..volume_io import case_names, find_inputs

    check_output_dir(arguments.output)
    options = segment_options(arguments)
    paths = find_inputs(arguments.inputs)
    names = case_names(paths, with_folders=not arguments.no_paths)
    check_output_dir(arguments.output, [name + end for name in names for end in CASE_FILES], paths)
    choice = SegmenterChoice(
        arguments.bank,
        arguments.model,
        arguments.checkpoint,
        _preset_of(arguments),
        arguments.device,
        "" if arguments.modality == "auto" else arguments.modality,
    )
    segmenter = open_choice(choice)
    kept = CaseTask(choice, paths[0], names[0], arguments.output, options, arguments.resume, not arguments.no_paths)
    cases = [dataclasses.replace(kept, path=path, name=name) for path, name in zip(paths, names)]
    failures = []
    with (
        held_alone(arguments.output),
        RunWriter(arguments.output, segmenter.describe(options)) as writer,
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

    bank: Path
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
        name = choice.model or read_manifest(choice.bank).draft.model_name
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
    resume: bool = False
    show_paths: bool = True


def run_case_task(task: CaseTask) -> Record:
    """Segment one input on a worker, which loads bank and model once."""
    return segment_case(open_choice(task.choice), task, no_progress)


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
    from ..volume_io import read_volume, source_digest

    try:
        digest = source_digest(task.path)
        if task.resume and (known := _earlier_record(segmenter, task, digest)):
            return known
        volume = dataclasses.replace(read_volume(task.path), name=task.name)
        result = segmenter.segment(volume, task.options, progress)
        return write_case(task.output, result, digest, task.show_paths)
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


def _earlier_record(segmenter: Segmenter, task: CaseTask, digest: str) -> Record | None:
    """Return the record that an earlier run left of the same input and settings, all its files being there."""
    from ..outputs import CASE_FILES, run_digest

    base = f"{task.output / task.name}"
    if not all(Path(base + end).is_file() for end in CASE_FILES):
        return None
    try:
        record = json.loads(Path(f"{base}.json").read_text(encoding="utf-8"))
        found = record["source_sha256"], record["run_sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(record) if found == (digest, run_digest(segmenter.describe(task.options))) else None


def changes_of(arguments: argparse.Namespace) -> str:
    """Return what the options change in the preset's config.

    Raises:
        UsageError: the smoothing is negative.
    """
    if arguments.smooth_axis < 0:
        raise UsageError(f"--smooth-axis {arguments.smooth_axis:g} mm is negative; give 0 or more")
    changes = [f"axis_sigma_mm={arguments.smooth_axis}"] if arguments.smooth_axis else []
    return ",".join([*changes, *([] if arguments.contrast == "none" else [f"contrast={arguments.contrast}"])])


def _preset_of(arguments: argparse.Namespace) -> str | None:
    """Return the preset with what the options change in it; without a name the bank's own is meant."""
    if not (changes := changes_of(arguments)):
        return str(arguments.preset) if arguments.preset else None
    preset = arguments.preset or ""
    return f"{preset}{',' if ':' in preset else ':'}{changes}"


def segment_options(arguments: argparse.Namespace) -> SegmentOptions:
    """Return the options of a run.

    Raises:
        UsageError: a value is out of range.
    """
    from ..method import SegmentOptions

    if not 0 < arguments.sensitivity < 1:
        raise UsageError(f"--sensitivity {arguments.sensitivity:g} is not a share; give a number between 0 and 1")
    if arguments.min_lesion_ml < 0:
        raise UsageError(f"--min-lesion-ml {arguments.min_lesion_ml:g} is negative; give 0 or more")
    if arguments.jobs < 1:
        raise UsageError(f"--jobs {arguments.jobs} is no number of processes; give 1 or more")
    return SegmentOptions(
        slices=parse_slices(arguments.slices),
        prompt=arguments.prompt,
        mask=arguments.mask,
        all_slices=arguments.all_slices,
        sensitivity=arguments.sensitivity,
        min_volume_ml=arguments.min_lesion_ml,
    )


def _tell(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(json.dumps(row))
    elif row["status"] == "failed":
        say(f"{row['case']}: FAILED: {row['reason']}")
    else:
        say(f"{row['case']}: {row['summary']}")
        if row.get("notes"):
            say(f"  note: {row['notes']}")
