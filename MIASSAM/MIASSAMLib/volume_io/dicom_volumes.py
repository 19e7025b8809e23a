"""A DICOM series that holds several volumes (echoes, time points, b-values, water and fat): told apart by one tag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError

VOLUME_TAGS = {
    "0018|0081": "echo time",
    "0018|0086": "echo number",
    "0018|9087": "b-value",
    "0020|0100": "time point",
    "0018|0082": "inversion time",
    "0018|1060": "trigger time",
    "0020|0012": "acquisition",
    "0008|0008": "image type",
    "0008|0032": "acquisition time",
}
"""What may tell the volumes of a series apart, the most telling first."""

Tags = dict[str, str]


def volumes_of(tags: Sequence[Tags], places: Sequence[tuple[float, ...]]) -> dict[str, list[int]]:
    """Return volume in words -> numbers of its slices, or nothing where no tag tells them apart.

    A tag does when each of its values has one slice at every place.

    Args:
        tags: of each slice, those of `VOLUME_TAGS`.
        places: where each slice lies.
    """
    every = sorted(set(places))
    for tag, words in VOLUME_TAGS.items():
        found: dict[str, list[int]] = {}
        for number, own in enumerate(tags):
            found.setdefault(own.get(tag, ""), []).append(number)
        if all(sorted(places[number] for number in numbers) == every for numbers in found.values()):
            return {f"{words} {value or 'not said'}": found[value] for value in sorted(found, key=_as_number)}
    return {}


def choose_volume(
    volumes: dict[str, list[int]], files: Sequence[str], path: Path, n_places: int
) -> tuple[str, list[int]]:
    """Return the volume that a file belongs to, in words, and the numbers of its slices.

    Raises:
        InputError: a folder was given, or nothing tells the volumes apart.
    """
    name = path.name if path.is_dir() else path.parent.name
    words = f"{name}: {len(files)} DICOM slices share {n_places} positions, so the series holds several volumes"
    if not volumes:
        raise InputError(
            f"{words} (time points, echoes or b-values); expected one; put the slices of one volume in a folder of "
            "their own"
        )
    own = path.resolve()
    for volume, numbers in volumes.items():
        if own in {Path(files[number]).resolve() for number in numbers}:
            return volume, numbers
    listed = "; ".join(f"{volume} ({Path(files[numbers[0]]).name})" for volume, numbers in volumes.items())
    raise InputError(f"{words}: {listed}; give one file of the volume you want instead of the folder")


def _as_number(text: str) -> tuple[float, str]:
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text
