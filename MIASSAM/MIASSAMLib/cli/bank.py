"""`miassam bank build|merge|export|import|info|verify`: memory banks of normal anatomy."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from .arguments import (
    add_log_argument,
    add_model_arguments,
    add_preprocessing_arguments,
    add_preset_argument,
    parse_window,
)
from .companions import add_region_arguments, exclusion_masks, organ_regions
from .progress import say, terminal_progress

if TYPE_CHECKING:
    from ..arrays import AnyArray
    from ..config import Config
    from ..method import BuildSource, Preprocessing, SourceEncoder
    from ..protocols import SamModel
    from ..volume import Volume


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands of `miassam bank`."""
    commands = parser.add_subparsers(title="bank commands", metavar="COMMAND", required=True)
    _add_build(commands.add_parser("build", help="build a bank from normal volumes"))
    _add_merge(commands.add_parser("merge", help="join banks of the same model and preset into one"))
    _add_export(commands.add_parser("export", help="write a bank as one file, to share it"))
    _add_import(commands.add_parser("import", help="unpack a bank that somebody shared"))
    _add_teach(commands.add_parser("teach", help="teach a bank that a region of a volume is normal"))
    for name, words, run in (
        ("unteach", "take back what a bank was taught last", run_unteach),
        ("info", "say what a bank holds", run_info),
        ("verify", "compare every file of a bank with its digest", run_verify),
    ):
        child = commands.add_parser(name, help=words)
        child.add_argument("bank", type=Path)
        child.add_argument("--json", action="store_true", help="print JSON")
        child.set_defaults(run=run)


def _add_merge(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("banks", nargs="+", type=Path, metavar="A.bank")
    add("--output", required=True, type=Path, metavar="NAME.bank")
    parser.set_defaults(run=run_merge)


def _add_teach(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bank", type=Path, metavar="NAME.bank")
    add("volume", type=Path, metavar="VOLUME")
    add("--region", required=True, type=Path, metavar="MASK", help="label on the volume's grid, nonzero where normal")
    add("--words", default="", help="what it is, such as 'arachnoid granulation'")
    add("--by", default="", metavar="NAME", help="who says so; by default this computer's user")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))
    parser.set_defaults(run=run_teach)


def run_teach(arguments: argparse.Namespace) -> int:
    """Teach a bank."""
    from ..api import teach_normal

    taught = (arguments.bank, arguments.volume, arguments.region, arguments.words, arguments.by, arguments.device)
    lesson = teach_normal(*taught)
    say(f"{arguments.bank} takes {max(lesson.n_patches.values())} patches on {lesson.n_slices} slice(s) for normal")
    say(f"  `miassam bank unteach {arguments.bank}` takes this back")
    return 0


def run_unteach(arguments: argparse.Namespace) -> int:
    """Take a lesson back."""
    from ..bank import unteach

    lesson = unteach(arguments.bank)
    if arguments.json:
        say(json.dumps(dataclasses.asdict(lesson), indent=1))
    else:
        say(f"taken back: {lesson.words or 'a region'} of {lesson.source}, taught by {lesson.by} on {lesson.when}")
    return 0


def _add_export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("bank", type=Path, metavar="NAME.bank")
    add("--output", required=True, type=Path, metavar="FILE", help="the archive, NAME.bank.zip")
    add("--source", required=True, metavar="WORDS", help="what it was built from, such as 'IXI T2, 20 adults, 3 T'")
    add("--license", required=True, metavar="WORDS", help="terms of use, such as CC-BY-SA-3.0")
    add("--keep-names", action="store_true", help="leave names and digests of the source files in it")
    parser.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> int:
    """Write a bank as one archive."""
    from ..bank import ARCHIVE_SUFFIX, Origin, export_bank

    if not arguments.output.name.endswith(ARCHIVE_SUFFIX):
        raise UsageError(f"--output {arguments.output.name} must end in {ARCHIVE_SUFFIX}")
    with terminal_progress() as progress:
        origin = Origin(arguments.source, arguments.license, arguments.keep_names)
        export_bank(arguments.bank, arguments.output, origin, progress)
    say(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.1f} MB, no image files inside")
    say("  Whoever has it can draw coarse pictures of its slices and tell whether a scan is in it (docs/files.md).")
    return 0


def _add_import(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("archive", type=Path, metavar="FILE", help="made by `miassam bank export`")
    add("--output", required=True, type=Path, metavar="NAME.bank")
    add("--overwrite", action="store_true", help="replace a bank of this name")
    parser.set_defaults(run=run_import)


def run_import(arguments: argparse.Namespace) -> int:
    """Unpack an archive."""
    from ..bank import import_bank

    with terminal_progress() as progress:
        import_bank(arguments.archive, arguments.output, arguments.overwrite, progress)
    print_info(arguments.output, False)
    return 0


def run_merge(arguments: argparse.Namespace) -> int:
    """Join banks."""
    from ..bank import merge_banks

    merge_banks(arguments.banks, arguments.output)
    print_info(arguments.output, False)
    return 0


def _add_build(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("inputs", nargs="+", type=Path, metavar="INPUT", help="volumes, DICOM folders, or folders of these")
    add("--output", required=True, type=Path, metavar="NAME.bank")
    add_preset_argument(parser)
    add_model_arguments(parser)
    add_preprocessing_arguments(parser)
    add("--exclude-mask", nargs="+", type=Path, metavar="MASK", help="labels of what is not normal, one per input")
    add("--masks-suffix", metavar="SUFFIX", help="labels lie beside the inputs: NAME + SUFFIX, such as _label")
    add_region_arguments(parser)
    words = "calibrate each place by itself: never, where that predicts normal volumes better, or always"
    add("--per-position", choices=("off", "auto", "on"), help=words)
    add("--anatomy", default="", help="words for the manifest, such as 'brain FLAIR axial'")
    add("--overwrite", action="store_true", help="replace a bank of this name")
    add("--append", action="store_true", help="add these volumes to the bank that is there")
    choices: tuple[str, ...] = ("auto", "none", "half", "compressed")
    add("--compress", default="auto", choices=choices, help="how patches are stored")
    add("--coreset-ratio", type=float, default=1.0, metavar="R", help="keep this part of the patches")
    choices = ("greedy", "random", "stratified")
    words = "greedy covers all that was seen; random and stratified (by place in the slice) take no time"
    add("--coreset", default="greedy", choices=choices, help=words)
    add("--dask", metavar="ADDRESS", help="a Dask cluster, or local[:N]; see docs/cluster.md")
    add_log_argument(parser)
    add("--json", action="store_true", help="print the manifest's summary as JSON")
    parser.set_defaults(run=run_build)


def run_build(arguments: argparse.Namespace) -> int:
    """Build a bank."""
    from ..api import open_model
    from ..bank import check_free
    from ..bank.coreset import Choice, n_kept
    from ..config import changed, preset
    from ..method import BuildOptions, Preprocessing, build_bank

    check_free(arguments.output, arguments.overwrite or arguments.append)
    modality = "" if arguments.modality == "auto" else arguments.modality
    preprocessing = Preprocessing(arguments.axis, parse_window(arguments.window), modality)
    n_kept(1, arguments.coreset_ratio)
    sources = build_sources(arguments, modality)
    if arguments.spacing:
        sources = [dataclasses.replace(one, load=_Respaced(one, arguments.spacing)) for one in sources]
    model = open_model(arguments.model, arguments.checkpoint, arguments.device)
    writer = {"append": arguments.append, "compress": arguments.compress}
    options = BuildOptions(preprocessing, "", arguments.anatomy, arguments.overwrite, writer=writer)
    options = dataclasses.replace(options, coreset=Choice(arguments.coreset_ratio, arguments.coreset))
    with terminal_progress(not arguments.json) as progress:
        config = preset(arguments.preset)
        if arguments.per_position:
            config = changed(config, f"per_position={arguments.per_position}")
        with _encoder(arguments, model, config, preprocessing) as encoder:
            build_bank(arguments.output, sources, model, config, options, progress, encoder)
    print_info(arguments.output, arguments.json)
    return 0


@dataclasses.dataclass(frozen=True)
class _Respaced:
    """Loads a source with the spacing that was given; its label was paired by the file's own."""

    source: BuildSource
    spacing_kji_mm: list[float]

    def __call__(self) -> tuple[Volume, AnyArray | None]:
        volume, mask = self.source.load()
        return volume.respaced(self.spacing_kji_mm), mask


@contextlib.contextmanager
def _encoder(
    arguments: argparse.Namespace, model: SamModel, config: Config, preprocessing: Preprocessing
) -> Iterator[SourceEncoder | None]:
    """Yield who encodes the volumes: None = this process, or a Dask cluster."""
    if not arguments.dask:
        yield None
        return
    from ..distributed import DaskEncoder, ModelRecipe, connect

    checkpoint = arguments.checkpoint.resolve() if arguments.checkpoint else None
    recipe = ModelRecipe(arguments.model, checkpoint, arguments.device, model.digest)
    with connect(arguments.dask) as client:
        yield DaskEncoder(client, recipe, config, preprocessing)


def build_sources(arguments: argparse.Namespace, modality: str = "") -> list[BuildSource]:
    """Pair inputs with their labels and regions; no volume is decoded yet.

    Raises:
        InputError: an input, label or region is missing.
        UsageError: there are not as many labels or regions as inputs.
    """
    from ..api import normal_sources
    from ..volume_io import case_names, find_inputs

    masks, regions = exclusion_masks(arguments), organ_regions(arguments)
    found = regions.without(masks.without(find_inputs(arguments.inputs)))
    return normal_sources(found, masks.beside(found), modality, case_names(found), regions.beside(found))


def run_info(arguments: argparse.Namespace) -> int:
    """Print what a bank holds."""
    print_info(arguments.bank, arguments.json)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Check every file of a bank; exit code 1 when one is damaged."""
    from ..bank import verify_bank

    damages = verify_bank(arguments.bank)
    if arguments.json:
        say(json.dumps({"bank": str(arguments.bank), "sound": not damages, "damages": damages}))
    elif damages:
        say("\n".join(damages))
    else:
        say(f"{arguments.bank} is sound: every file has the size and SHA-256 of its manifest")
    return 1 if damages else 0


def print_info(path: Path, as_json: bool) -> None:
    """Print what a bank says about itself."""
    from ..bank import bank_info

    info = bank_info(path)
    if as_json:
        say(json.dumps(info, indent=1))
        return
    say(
        f"{info['path']}: {info['n_slices']} normal slices of {info['n_sources']} volume(s), "
        f"{info['n_bytes'] / 1e6:.1f} MB"
    )
    say(f"  preset {info['preset']}, model {info['model']} ({info['model_digest'][:6]})")
    if words := f"{info['modality']} {info['anatomy']}".strip():
        say(f"  {words}")
    for kind, record in info["kinds"].items():
        say(f"  {kind}: {record['n_patches']} patches x {record['dimension']} numbers ({record['storage_reason']})")
    say(f"  slice axis {info['slice_axis']}, calibrated on normal slices: {'yes' if info['calibrated'] else 'no'}")
    for note in info["notes"]:
        say(f"  {note}")
    for lesson in info["taught"]:
        patches = max(lesson["n_patches"].values())
        say(
            f"  taught as normal: {lesson['words'] or 'a region'} of {lesson['source']}, {patches} patches, "
            f"by {lesson['by']} on {lesson['when']}"
        )
