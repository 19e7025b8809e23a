"""`miassam segment`: find and outline what is abnormal, in one volume or many."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Cancelled, InputError, MiassamError, UsageError
from ..protocols import no_progress
from .arguments import add_model_arguments, add_preset_argument, parse_slices
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..bank import Manifest
    from ..method import Segmenter, SegmentOptions
    from ..protocols import Progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam segment`."""
    parser.add_argument(
        "inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders of these"
    )
    parser.add_argument("--bank", required=True, type=Path, metavar="NAME.bank")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR")
    add_preset_argument(parser, default=None)
    add_model_arguments(parser, default=None)
    parser.add_argument("--modality", default="auto", choices=("auto", "mri", "ct", "oct"))
    parser.add_argument("--slices", metavar="A:B", help="only these slices along the slice axis, B not included")
    parser.add_argument("--all-slices", action="store_true", help="segment every slice, as the paper does")
    parser.add_argument("--prompt", choices=("cog", "max", "box"))
    parser.add_argument("--mask", choices=("1", "2", "3", "auto"))
    parser.add_argument(
        "--sensitivity", type=float, default=0.05, metavar="P", help="share of normal volumes that may get any mark"
    )
    parser.add_argument(
        "--contrast",
        default="none",
        choices=("none", "flair"),
        help="flair: lesions are bright; the map shows how bright tissue is beside normal tissue (refined only)",
    )
    parser.add_argument(
        "--smooth-axis",
        type=float,
        default=0.0,
        metavar="MM",
        help="smooth the map across slices by this sigma (refined)",
    )
    parser.add_argument(
        "--dask", metavar="ADDRESS", help="one task per volume on a Dask cluster, or local[:N]; see docs/cluster.md"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line per case")


def run(arguments: argparse.Namespace) -> int:
    """Segment every input; a bad one is a failed row and the others go on."""
    from ..outputs import CASE_FILES, write_run
    from ..volume_io import case_names, check_output_dir, find_inputs

    check_output_dir(arguments.output)
    options = segment_options(arguments)
    paths = find_inputs(arguments.inputs)
    names = case_names(paths)
    check_output_dir(arguments.output, [name + end for name in names for end in CASE_FILES], paths)
    choice = SegmenterChoice(
        arguments.bank,
        arguments.preset,
        arguments.model,
        arguments.checkpoint,
        arguments.device,
        arguments.modality,
        changes_of(arguments),
    )
    segmenter = load_segmenter(*dataclasses.astuple(choice))
    rows = []
    with terminal_progress(not arguments.json) as progress:
        cases = [CaseTask(choice, path, name, arguments.output, options) for path, name in zip(paths, names)]
        for row in _segment_cases(segmenter, cases, arguments.dask, progress):
            rows.append(row)
            _tell(row, arguments.json)
    write_run(arguments.output, rows, segmenter.describe(options))
    return 1 if any(row["status"] == "failed" for row in rows) else 0


@dataclasses.dataclass(frozen=True)
class SegmenterChoice:
    """The arguments of `load_segmenter`, as a worker on another machine gets them."""

    bank: Path
    preset: str | None
    model: str | None
    checkpoint: Path | None
    device: str
    modality: str
    changes: str


@dataclasses.dataclass(frozen=True)
class CaseTask:
    """One input to segment; its files are written where it is run."""

    choice: SegmenterChoice
    path: Path
    name: str
    output: Path
    options: SegmentOptions


def run_case_task(task: CaseTask) -> dict[str, Any]:
    """Segment one input on a worker, which loads bank and model once."""
    segmenter = _worker_segmenter(task.choice)
    return segment_case(segmenter, task.path, task.name, task.output, task.options, no_progress)


@functools.cache
def _worker_segmenter(choice: SegmenterChoice) -> Segmenter:
    return load_segmenter(*dataclasses.astuple(choice))


def _segment_cases(
    segmenter: Segmenter, cases: list[CaseTask], dask: str | None, progress: Progress
) -> Iterator[dict[str, Any]]:
    if not dask:
        for case in cases:
            yield segment_case(segmenter, case.path, case.name, case.output, case.options, progress)
        return
    from ..distributed import connect, map_in_order

    with connect(dask) as client:
        for done, row in enumerate(map_in_order(client, run_case_task, cases), 1):
            progress("segmenting volumes", done, len(cases))
            yield row


def changes_of(arguments: argparse.Namespace) -> str:
    """Return what the options change in the preset's config.

    Raises:
        UsageError: the smoothing is negative.
    """
    if arguments.smooth_axis < 0:
        raise UsageError(f"--smooth-axis {arguments.smooth_axis:g} mm is negative; give 0 or more")
    changes = [f"axis_sigma_mm={arguments.smooth_axis}"] if arguments.smooth_axis else []
    return ",".join([*changes, *([] if arguments.contrast == "none" else [f"contrast={arguments.contrast}"])])


def segment_options(arguments: argparse.Namespace) -> SegmentOptions:
    """Return the options of a run.

    Raises:
        UsageError: a value is out of range.
    """
    from ..method import SegmentOptions

    if not 0 < arguments.sensitivity < 1:
        raise UsageError(f"--sensitivity {arguments.sensitivity:g} is not a share; give a number between 0 and 1")
    return SegmentOptions(
        slices=parse_slices(arguments.slices),
        prompt=arguments.prompt,
        mask=arguments.mask,
        all_slices=arguments.all_slices,
        sensitivity=arguments.sensitivity,
    )


def load_segmenter(
    bank_path: Path,
    preset_name: str | None = None,
    model_name: str | None = None,
    checkpoint: Path | None = None,
    device: str = "auto",
    modality: str = "auto",
    changes: str = "",
) -> Segmenter:
    """Open a bank and the model it was built with; `changes` as in `config.changed`.

    Raises:
        UsageError: a change does not fit the preset.
        BankError, BankMismatchError: the bank is damaged or was built with something else.
        CheckpointError: the model cannot be loaded.
    """
    from ..bank import MemoryBank
    from ..config import Config, changed, preset
    from ..method import Preprocessing, Segmenter
    from ..sam import load_model

    bank = MemoryBank.load(bank_path, device=device)
    draft = bank.manifest.draft
    config = changed(preset(preset_name) if preset_name else Config.from_dict(draft.config), changes)
    model = load_model(model_name or draft.model_name, checkpoint, device)
    bank.check_fits(config.to_dict(), model.name, model.digest)
    if config.is_calibrated and not bank.calibration:
        raise UsageError(
            f"{bank_path} has no calibration on normal slices, which the preset {config.preset} needs; "
            f"build the bank with --preset {config.preset}, or segment with --preset {draft.preset}"
        )
    preprocessing = Preprocessing.from_dict(draft.preprocessing)
    if modality != "auto":
        preprocessing = dataclasses.replace(preprocessing, modality=modality)
    return Segmenter(model, bank, config, preprocessing, bank_words(bank_path, bank.manifest))


def bank_words(path: Path, manifest: Manifest) -> dict[str, Any]:
    """Return what a record says about its bank."""
    return {
        "name": path.resolve().name,
        "manifest_sha256": hashlib.sha256((path / "manifest.json").read_bytes()).hexdigest(),
        "modality": manifest.draft.modality,
        "anatomy": manifest.draft.anatomy,
        "n_slices": manifest.n_slices,
        "n_volumes": len(manifest.sources),
    }


def segment_case(
    segmenter: Segmenter, path: Path, name: str, output: Path, options: SegmentOptions, progress: Progress
) -> dict[str, Any]:
    """Segment one input and write its files; return its row of the run's table."""
    from ..outputs import write_case
    from ..volume_io import read_volume

    try:
        volume = dataclasses.replace(read_volume(path), name=name)
        result = segmenter.segment(volume, options, progress)
        return write_case(output, result)
    except Cancelled:
        raise
    except MiassamError as error:
        return {"case": name, "source": str(path), "status": "failed", "reason": str(error)}
    except MemoryError as error:
        problem = InputError(f"{name} needs more memory than there is ({error}); segment fewer slices with --slices")
        return {"case": name, "source": str(path), "status": "failed", "reason": str(problem)}


def _tell(row: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(json.dumps(row))
    elif row["status"] == "failed":
        say(f"{row['case']}: FAILED: {row['reason']}")
    else:
        say(f"{row['case']}: {row['summary']}")
        if row["notes"]:
            say(f"  note: {row['notes']}")
