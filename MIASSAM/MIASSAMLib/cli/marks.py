"""What a user marks on a volume, from files or numbers: points and boxes on slices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, UsageError

if TYPE_CHECKING:
    from ..arrays import AnyArray, DoubleArray
    from ..method import Mark, PreparedVolume, UserPrompts

_OF_PANEL = re.compile(r"slice=-?\d+ lesion=(\d+) (inside|outside)")
"""Description of a point in the Slicer module."""
_OUTSIDE = re.compile(r"\s*(-|outside\b)", re.IGNORECASE)


def marks_of_file(path: Path, prepared: PreparedVolume) -> list[Mark]:
    """Return the marks of a markups file: all points of one list on one slice mark one thing, each list an anomaly.

    A label or description that begins with "outside" or "-" says that the point is not part of it. What the Slicer
    module wrote beside its own points (anomaly, inside or outside) is taken over.

    Raises:
        InputError: no markups file, or a point lies outside the volume.
    """
    import numpy as np

    from ..method import Mark, UserPrompts
    from ..volume_io import read_markups

    found: dict[tuple[int, int], list[tuple[AnyArray, int]]] = {}
    for number, points in enumerate(read_markups(path), 1):
        for point in points:
            index, xy = slice_of(point.ras, prepared, f"{path.name}: point '{point.label}'")
            known = _OF_PANEL.match(point.description)
            is_outside = known[2] == "outside" if known else bool(_said_outside(point.label, point.description))
            lesion = int(known[1]) if known else number
            found.setdefault((index, lesion), []).append((xy, 0 if is_outside else 1))
    numbers = {lesion: number for number, lesion in enumerate(sorted({lesion for _, lesion in found}), 1)}
    return [
        Mark(
            index,
            UserPrompts(np.array([xy for xy, _ in own]), np.array([label for _, label in own], np.int64)),
            numbers[lesion],
        )
        for (index, lesion), own in sorted(found.items(), key=lambda item: item[0])
    ]


def _said_outside(*texts: str) -> bool:
    return any(_OUTSIDE.match(text) for text in texts)


def slice_of(ras: Sequence[float], prepared: PreparedVolume, words: str) -> tuple[int, DoubleArray]:
    """Return the slice nearest to a RAS position in mm, and its native pixel (x, y) there.

    Raises:
        InputError: the position lies outside the volume.
    """
    import numpy as np

    ijk = prepared.volume.ras_to_ijk_point(np.asarray(ras, float))
    if not prepared.volume.contains_ijk(ijk):
        place = ", ".join(f"{value:.1f}" for value in ras)
        raise InputError(
            f"{words} at RAS ({place}) mm lies outside {prepared.volume.name}; was it placed on another volume?"
        )
    index, xy = prepared.plane.slice_xy(ijk)
    return min(max(round(index), 0), prepared.plane.n_slices - 1), xy


@dataclass(frozen=True)
class Numbers:
    """Points and a box as typed.

    Attributes:
        inside, outside: pixels X Y of the slice as it is shown, or positions X Y Z in RAS mm.
        box: two corners, one behind the other.
        index: the slice, or None where the positions say it.
        is_ras: which of the two the numbers are.
    """

    inside: Sequence[Sequence[float]]
    outside: Sequence[Sequence[float]]
    box: Sequence[float] | None
    index: int | None
    is_ras: bool

    @property
    def size(self) -> int:
        """How many numbers make a position."""
        return 3 if self.is_ras else 2

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            UsageError: with what came and what is wanted.
        """
        words = "X Y Z in RAS mm" if self.is_ras else "X Y in pixels (X Y Z in RAS mm with --ras)"
        for option, given in (*(("--point", p) for p in self.inside), *(("--outside", p) for p in self.outside)):
            if len(given) != self.size:
                raise UsageError(f"{option} got {len(given)} numbers; give {words}")
        if self.box is not None and len(self.box) != 2 * self.size:
            raise UsageError(f"--box got {len(self.box)} numbers; give two corners, each {words}")
        if not self.inside and self.box is None:
            raise UsageError("nothing says what to outline; give --point or --box, or --remove to take it away")
        if self.index is None and not self.is_ras:
            raise UsageError("pixels need their slice; give --slice N, or positions in patient space with --ras")

    def on(self, prepared: PreparedVolume) -> tuple[int, UserPrompts]:
        """Return the slice and the prompts in its native pixels.

        Raises:
            InputError: a position lies outside the volume, or on another slice than the others.
        """
        import numpy as np

        from ..method import UserPrompts

        self.check()
        corners = [] if self.box is None else [self.box[: self.size], self.box[self.size :]]
        placed = [self._placed(each, prepared) for each in (*self.inside, *self.outside, *corners)]
        if len(indexes := {index for index, _ in placed}) > 1:
            raise InputError(f"the positions lie on slices {sorted(indexes)}; one correction is of one slice")
        xy = [point for _, point in placed]
        points = np.array(xy[: len(xy) - len(corners)], float).reshape(-1, 2)
        labels = np.array([1] * len(self.inside) + [0] * len(self.outside), np.int64)
        box = None
        if corners:
            ends = np.array(xy[-2:])
            box = np.concatenate([ends.min(0) - 0.5, ends.max(0) + 0.5])
        return placed[0][0], UserPrompts(points, labels, box)

    def _placed(self, position: Sequence[float], prepared: PreparedVolume) -> tuple[int, Any]:
        if not self.is_ras:
            assert self.index is not None
            return self.index, position
        index, xy = slice_of(position, prepared, "the position")
        if self.index not in (None, index):
            raise InputError(f"the position lies on slice {index} and --slice says {self.index}; give one of them")
        return index, xy
