"""What the options of `miassam segment` mean to the method."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ..errors import UsageError
from .arguments import parse_slices

if TYPE_CHECKING:
    from ..method import SegmentOptions


def changes_of(arguments: argparse.Namespace) -> str:
    """Return what the options change in the preset's config.

    Raises:
        UsageError: the smoothing is negative.
    """
    if arguments.smooth_axis < 0:
        raise UsageError(f"--smooth-axis {arguments.smooth_axis:g} mm is negative; give 0 or more")
    changes = [f"axis_sigma_mm={arguments.smooth_axis}"] if arguments.smooth_axis else []
    return ",".join([*changes, *([] if arguments.contrast == "none" else [f"contrast={arguments.contrast}"])])


def preset_of(arguments: argparse.Namespace) -> str | None:
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
