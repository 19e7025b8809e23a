"""Files that belong to an input: labels of what is not normal in it, the region that is compared, other contrasts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError, UsageError


@dataclass(frozen=True)
class Companions:
    """One file for each input: named in order, or lying beside it.

    Attributes:
        option, suffix_option: as the user writes them.
        files: those named. suffix: NAME + suffix lies beside NAME.
    """

    option: str
    suffix_option: str
    files: Sequence[Path] | None
    suffix: str | None

    def without(self, inputs: Sequence[Path]) -> list[Path]:
        """Return inputs without those that are companions of others by their name."""
        return [path for path in inputs if not self.suffix or not _stem(path).endswith(self.suffix)]

    def beside(self, inputs: Sequence[Path]) -> list[Path | None]:
        """Return the companion of each input, None where there is none to be.

        Raises:
            InputError: one is missing.
            UsageError: named and beside at once, or not one for each input.
        """
        if self.files and self.suffix:
            raise UsageError(f"{self.option} and {self.suffix_option} were both given; choose one")
        if self.files:
            from ..volume_io import find_inputs

            found = find_inputs(self.files)
            if len(found) != len(inputs):
                raise UsageError(
                    f"{self.option} names {len(found)} files for {len(inputs)} volumes; give one for each, in order"
                )
            return list(found)
        return [self._next_to(path) if self.suffix else None for path in inputs]

    def _next_to(self, path: Path) -> Path:
        stem, suffix = _stem(path), self.suffix or ""
        companion = path.with_name(stem + suffix + path.name[len(stem) :])
        if not companion.exists():
            raise InputError(
                f"{path} has no {companion.name} beside it ({self.suffix_option} {suffix}); add it, or take the "
                "volume out of the inputs"
            )
        return companion


def add_region_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --region and --regions-suffix."""
    add = parser.add_argument
    words = "only this is compared, calibrated and marked: a mask of the organ, one per input"
    add("--region", nargs="+", type=Path, metavar="MASK", help=words)
    add("--regions-suffix", metavar="SUFFIX", help="regions lie beside the inputs: NAME + SUFFIX, such as _brain")


def add_contrast_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --with and --with-bank."""
    add = parser.add_argument
    words = "further contrasts of the same patient, such as T1C beside FLAIR; for several inputs one of each, in order"
    add("--with", nargs="+", type=Path, default=[], dest="contrasts", metavar="FILE", help=words)
    words = "with --bank: the bank of each further contrast, in order"
    add("--with-bank", nargs="+", type=Path, default=[], dest="contrast_banks", metavar="NAME.bank", help=words)


def contrasts_beside(arguments: argparse.Namespace, inputs: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Return the further contrasts of each input; the files of one contrast follow each other.

    Raises:
        UsageError: there are not as many of each contrast as inputs, or not one bank for each contrast.
    """
    from ..volume_io import find_inputs

    found, banks = find_inputs(arguments.contrasts), len(arguments.contrast_banks)
    count, rest = divmod(len(found), len(inputs))
    if rest:
        raise UsageError(f"--with names {len(found)} files for {len(inputs)} volumes; give one of a contrast for each")
    if banks != (count if arguments.bank else 0):
        wanted = f"{count} after --with-bank, in order" if arguments.bank else "--bank for the volume itself, too"
        raise UsageError(f"{count} further contrasts came with {banks} banks of their own; give {wanted}")
    return [tuple(found[n :: len(inputs)]) for n in range(len(inputs))]


def organ_regions(arguments: argparse.Namespace) -> Companions:
    """Return the regions of a command's inputs."""
    return Companions("--region", "--regions-suffix", arguments.region, arguments.regions_suffix)


def exclusion_masks(arguments: argparse.Namespace) -> Companions:
    """Return the labels of what is not normal in a command's inputs."""
    return Companions("--exclude-mask", "--masks-suffix", arguments.exclude_mask, arguments.masks_suffix)


def _stem(path: Path) -> str:
    from ..volume_io import case_name

    return case_name(path) if not path.is_dir() else path.name
