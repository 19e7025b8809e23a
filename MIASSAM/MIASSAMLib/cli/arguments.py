"""Options that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..config import PRESETS, preset
from ..errors import UsageError
from ..sam import MODEL_NAMES

MODALITIES = ("auto", "mri", "ct", "oct")


def add_model_arguments(parser: argparse.ArgumentParser, default: str | None = "embedded") -> None:
    """Add --model, --checkpoint and --device."""
    add = parser.add_argument
    names = ", ".join(MODEL_NAMES)
    add("--model", default=default, metavar="NAME", help=f"{names}; see `miassam models list`")
    add("--checkpoint", type=Path, metavar="FILE", help="a SAM-format state dict to use instead")
    add("--device", default="auto", choices=("auto", "cpu", "cuda", "mps"))


def add_preprocessing_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --axis, --window and --modality."""
    add = parser.add_argument
    add("--axis", default="auto", help="auto, axial, coronal, sagittal, i, j or k")
    add("--window", nargs="+", default=["auto"], metavar="W", help="a window's name, or LO HI in the volume's units")
    add("--modality", default="auto", choices=MODALITIES)
    add_spacing_argument(parser)


def add_spacing_argument(parser: argparse.ArgumentParser) -> None:
    """Add --spacing."""
    words = "mm between voxels along k, j, i (OCT: between B-scans, depth, width) where the file says it wrongly"
    parser.add_argument("--spacing", nargs=3, type=_millimeters, metavar=("Z", "Y", "X"), help=words)


def _millimeters(text: str) -> float:
    value = float(text)
    if not 1e-6 < value < 1e4:
        raise argparse.ArgumentTypeError(f"{text} mm is no distance between voxels")
    return value


def add_preset_argument(parser: argparse.ArgumentParser, default: str | None = "refined") -> None:
    """Add --preset."""
    names = ", ".join(sorted(PRESETS))
    parser.add_argument(
        "--preset", default=default, type=preset_name, metavar="NAME", help=f"{names}; changes as in refined:zoom=off"
    )


def add_log_argument(parser: argparse.ArgumentParser) -> None:
    """Add --log."""
    parser.add_argument("--log", type=Path, metavar="FILE", help="append what is said to this file, with times")


def preset_name(text: str) -> str:
    """Return the name of a preset, which may carry changes.

    Raises:
        UsageError: there is none.
    """
    preset(text)
    return text


def parse_window(words: list[str]) -> str | dict[str, Any]:
    """Return a window rule: a name, or fixed limits.

    Raises:
        UsageError: neither one name nor two numbers came.
    """
    if len(words) == 1:
        return words[0]
    try:
        low, high = (float(word) for word in words)
    except ValueError:
        raise UsageError(f"--window got {' '.join(words)}; give one name or two numbers LO HI") from None
    if not low < high:
        raise UsageError(f"--window {low:g} {high:g} is empty; give the lower limit first")
    return {"rule": "fixed", "low": low, "high": high}


def parse_slices(text: str | None) -> tuple[int, int] | None:
    """Return (first, one past last) of a range A:B.

    Raises:
        UsageError: the text is not of this form.
    """
    if text is None:
        return None
    first, colon, last = text.partition(":")
    try:
        start, stop = int(first or 0), int(last) if last else 10**9 if colon else int(first) + 1
    except ValueError:
        raise UsageError(f"--slices got '{text}'; give a range A:B such as 40:80, B not included") from None
    if not 0 <= start < stop:
        raise UsageError(f"--slices {text} selects nothing; give a range A:B with 0 <= A < B, B not included")
    return start, stop
