"""`miassam bank build|info|verify`: memory banks of normal anatomy."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UsageError
from .arguments import (
    add_model_arguments,
    add_preprocessing_arguments,
    add_preset_argument,
    parse_window,
)
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..arrays import AnyArray
    from ..build import BuildSource
    from ..volume import Volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `miassam bank`."""
    commands = parser.add_subparsers(title="bank commands", metavar="COMMAND", required=True)
    _add_build(commands.add_parser("build", help="build a bank from normal volumes"))
    for name, words, run in (
        ("info", "say what a bank holds", run_info),
        ("verify", "compare every file of a bank with its digest", run_verify),
    ):
        child = commands.add_parser(name, help=words)
        child.add_argument("bank", type=Path)
        child.add_argument("--json", action="store_true", help="print JSON")
        child.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Reached only when a subcommand forgot to name its own function."""
    raise UsageError("name a bank command: build, info or verify")


def _add_build(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders of these")
    parser.add_argument("--output", required=True, type=Path, metavar="NAME.bank")
    add_preset_argument(parser)
    add_model_arguments(parser)
    add_preprocessing_arguments(parser)
    parser.add_argument(
        "--exclude-mask", nargs="+", type=Path, metavar="MASK", help="labels of what is not normal, one for each input, in order"
    )
    parser.add_argument("--masks-suffix", metavar="SUFFIX", help="labels lie beside the inputs: NAME + SUFFIX, such as _label")
    parser.add_argument("--anatomy", default="", help="words for the manifest, such as 'brain FLAIR axial'")
    parser.add_argument("--overwrite", action="store_true", help="replace a bank of this name")
    parser.add_argument("--json", action="store_true", help="print the manifest's summary as JSON")
    parser.set_defaults(run=run_build)


def run_build(arguments: argparse.Namespace) -> int:
    """Build a bank."""
    from ..build import BuildOptions, build_bank
    from ..config import preset
    from ..pipeline import Preprocessing
    from ..sam import load_model

    modality = "" if arguments.modality == "auto" else arguments.modality
    preprocessing = Preprocessing(arguments.axis, parse_window(arguments.window), modality)
    sources = build_sources(arguments.inputs, arguments.exclude_mask, arguments.masks_suffix, modality)
    model = load_model(arguments.model, arguments.checkpoint, arguments.device)
    options = BuildOptions(preprocessing, modality, arguments.anatomy, arguments.overwrite)
    with terminal_progress(not arguments.json) as progress:
        bank = build_bank(arguments.output, sources, model, preset(arguments.preset), options, progress)
    _print_info(bank_info(arguments.output), arguments.json)
    return 0


def build_sources(
    inputs: list[Path], masks: list[Path] | None, suffix: str | None, modality: str = ""
) -> list[BuildSource]:
    """Pair inputs with their labels; nothing is read yet.

    Raises:
        InputError: an input or label is missing.
        UsageError: there are not as many labels as inputs.
    """
    from ..build import BuildSource
    from ..volume_io import case_names, find_inputs

    found = find_inputs(inputs)
    if suffix:
        found = [path for path in found if not _stem(path).endswith(suffix)]
    labels = _pair_labels(found, masks, suffix)
    names = case_names(found)
    return [
        BuildSource(name, _loader(path, label, modality))
        for name, path, label in zip(names, found, labels, strict=True)
    ]


def _pair_labels(found: list[Path], masks: list[Path] | None, suffix: str | None) -> list[Path | None]:
    if masks and suffix:
        raise UsageError("--exclude-mask and --masks-suffix were both given; choose one")
    if masks:
        from ..volume_io import find_inputs

        labels = find_inputs(masks)
        if len(labels) != len(found):
            raise UsageError(f"{len(labels)} exclusion masks came for {len(found)} inputs; give one for each, in order")
        return list(labels)
    if suffix:
        return [_beside(path, suffix) for path in found]
    return [None] * len(found)


def _beside(path: Path, suffix: str) -> Path | None:
    stem = _stem(path)
    label = path.with_name(stem + suffix + path.name[len(stem) :])
    if not label.exists():
        raise InputError(f"{path} has no label {label.name} beside it; add it, or take the volume out of the inputs")
    return label


def _stem(path: Path) -> str:
    from ..volume_io import case_name

    return case_name(path) if not path.is_dir() else path.name


def _loader(path: Path, label: Path | None, modality: str) -> Callable[[], tuple[Volume, AnyArray | None]]:
    def load() -> tuple[Volume, AnyArray | None]:
        from ..volume_io import read_label, read_volume

        volume = read_volume(path)
        if modality:
            volume = dataclasses.replace(volume, modality=modality)
        return volume, None if label is None else read_label(label, volume)

    return load


def bank_info(path: Path) -> dict[str, Any]:
    """Return what a bank says about itself, as JSON-able data."""
    from ..memory_bank import read_manifest

    manifest = read_manifest(path)
    draft = manifest.draft
    return {
        "bank": str(path),
        "preset": draft.preset,
        "model": draft.model_name,
        "model_sha256": draft.model_digest,
        "modality": draft.modality,
        "anatomy": draft.anatomy,
        "slice_axis": draft.slice_axis,
        "preprocessing": dict(draft.preprocessing),
        "n_slices": manifest.n_slices,
        "n_volumes": len(manifest.sources),
        "features": {
            kind: {"n_patches": record.n_patches, "dimension": record.dimension, "storage": record.storage}
            for kind, record in manifest.kinds.items()
        },
        "calibrated": bool(manifest.calibration_file),
        "size_mb": round(sum(record.n_bytes for record in manifest.files.values()) / 1e6, 1),
        "version": manifest.version,
        "code_version": draft.code_version,
        "notes": list(manifest.notes),
        "sources": [source.name for source in manifest.sources],
    }


def run_info(arguments: argparse.Namespace) -> int:
    """Print what a bank holds."""
    _print_info(bank_info(arguments.bank), arguments.json)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Check every file of a bank; exit code 1 when one is damaged."""
    from ..memory_bank import verify_bank

    damages = verify_bank(arguments.bank)
    if arguments.json:
        say(json.dumps({"bank": str(arguments.bank), "sound": not damages, "damages": damages}))
    elif damages:
        say("\n".join(damages))
    else:
        say(f"{arguments.bank} is sound: every file has the size and SHA-256 of its manifest")
    return 1 if damages else 0


def _print_info(info: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say(json.dumps(info, indent=1))
        return
    say(f"{info['bank']}: {info['n_slices']} normal slices of {info['n_volumes']} volume(s), {info['size_mb']} MB")
    say(f"  preset {info['preset']}, model {info['model']} ({info['model_sha256'][:6]})")
    if info["modality"] or info["anatomy"]:
        say(f"  {info['modality']} {info['anatomy']}".rstrip())
    for kind, record in info["features"].items():
        say(f"  {kind}: {record['n_patches']} patches x {record['dimension']} numbers, storage {record['storage']}")
    say(f"  slice axis {info['slice_axis']}, calibrated on normal slices: {'yes' if info['calibrated'] else 'no'}")
    for note in info["notes"]:
        say(f"  {note}")
