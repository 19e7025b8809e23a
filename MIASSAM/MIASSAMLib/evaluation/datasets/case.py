"""A case to evaluate: where it comes from, and its pixels when its turn comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...arrays import BoolArray
from ...errors import InputError
from ...volume import Volume

Role = Literal["normal", "calibration", "test"]


@dataclass(frozen=True)
class LabeledVolume:
    """A volume (a 2-D image is a volume of one slice) and its truth.

    Attributes:
        truth_kji: bool (K, J, I), True where anomalous.
    """

    volume: Volume
    truth_kji: BoolArray

    def __post_init__(self) -> None:
        if self.truth_kji.shape != self.volume.shape_kji:
            raise InputError(
                f"{self.volume.name}: the truth has {self.truth_kji.shape} voxels (K, J, I) but the image has "
                f"{self.volume.shape_kji}; give the truth of this image at its own size"
            )


@dataclass(frozen=True)
class EvaluationCase:
    """One case of a data set.

    Attributes:
        name: unique in its data set.
        group: what is resampled and left out together, such as a patient.
        role: `normal` cases teach the bank, `calibration` cases are held-out normals, `test` cases are scored.
        load: reads the pixels; raises InputError with the reason when it cannot.
        stamp: size and time of its files, so that a changed file is scored anew.
    """

    name: str
    group: str
    role: Role
    load: Callable[[], LabeledVolume]
    stamp: str = ""


def stamp_of(*paths: Path | None) -> str:
    """Return size and time of files, "absent" for one that is not there."""
    return ", ".join(_stamp(path) for path in paths if path is not None)


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return "absent"
    return f"{facts.st_size} {facts.st_mtime_ns}"


@dataclass(frozen=True)
class DataSet:
    """Cases to evaluate together.

    Attributes:
        name: "brain", "liver", "retina", or the name of the folder or file.
        rule: how the truth was made binary, in words.
        window: intensity window rule the cases ask for, None to keep the user's.
        modality: "mri", "ct", "oct", or "" to keep the user's.
    """

    name: str
    cases: tuple[EvaluationCase, ...]
    rule: str
    window: dict[str, object] | None = None
    modality: str = ""

    def of_role(self, role: Role) -> tuple[EvaluationCase, ...]:
        """Return the cases of one role, in order."""
        return tuple(case for case in self.cases if case.role == role)
