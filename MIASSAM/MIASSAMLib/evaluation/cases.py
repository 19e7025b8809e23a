"""Cases to evaluate: where each comes from, its pixels when its turn comes, which teach the bank of which others."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..arrays import BoolArray
from ..errors import InputError, UsageError
from ..volume import Volume

Role = Literal["normal", "calibration", "test"]


@dataclass(frozen=True)
class LabeledVolume:
    """A volume (a 2-D image is a volume of one slice), its truth and the region that counts.

    Attributes:
        truth_kji: bool (K, J, I), True where anomalous.
        region_kji: bool (K, J, I), the pixels that count; None = all.
    """

    volume: Volume
    truth_kji: BoolArray
    region_kji: BoolArray | None = None

    def __post_init__(self) -> None:
        for word, mask in (("truth", self.truth_kji), ("region", self.region_kji)):
            if mask is not None and mask.shape != self.volume.shape_kji:
                raise InputError(
                    f"{self.volume.name}: the {word} has {mask.shape} voxels (K, J, I) but the image has "
                    f"{self.volume.shape_kji}; give the {word} of this image at its own size"
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
    stamps = []
    for path in filter(None, paths):
        try:
            stamps.append(f"{path.stat().st_size} {path.stat().st_mtime_ns}")
        except OSError:
            stamps.append("absent")
    return ", ".join(stamps)


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


COLUMNS = ("case", "image", "mask", "group", "split", "region")
SPLITS = ("normal", "test", "")


def read_cases(path: Path, leave_one_group_out: bool = False) -> DataSet:
    """Return the cases of a `cases.csv`: header `case,image,mask,group,split,region`, paths relative to its folder.

    `case` and `image` are needed. An empty region is the whole image, an empty mask means normal, an empty group is
    the case itself. An empty split is `test` when each group is left out in turn, else `test` with a mask and
    `normal` without.

    Raises:
        UsageError: the file is missing or a line of it is off; the line is in the message.
    """
    rows = _rows(path)
    cases = tuple(_case(path, number, row, leave_one_group_out) for number, row in enumerate(rows, 2))
    names = [case.name for case in cases]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"{path}: the cases {', '.join(repeated)} occur twice; give each case its own name")
    if not cases:
        raise UsageError(f"{path} lists no case; give one line per case below the header {','.join(COLUMNS)}")
    return DataSet(path.parent.name or path.stem, cases, "a mask voxel is anomalous when its label is not 0")


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            header = [name.strip() for name in reader.fieldnames or []]
            reader.fieldnames = header
            rows = [{key: (value or "").strip() for key, value in row.items() if key} for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); give a CSV file with header {','.join(COLUMNS)}"
        ) from error
    if missing := [name for name in ("case", "image") if name not in header]:
        raise UsageError(f"{path} lacks the columns {', '.join(missing)}; its header must be {','.join(COLUMNS)}")
    return [row for row in rows if any(row.values())]


def _case(path: Path, number: int, row: dict[str, str], leave_out: bool) -> EvaluationCase:
    image, mask, split = row["image"], row.get("mask", ""), row.get("split", "").lower()
    if not image or not row["case"]:
        raise UsageError(f"{path}, line {number}: the case or its image is empty; fill in both")
    if split not in SPLITS:
        raise UsageError(f"{path}, line {number}: split is '{split}'; expected normal, test or nothing")
    role: Role = "normal" if split == "normal" or (not split and not mask and not leave_out) else "test"
    truth, region = (path.parent / row[name] if row.get(name) else None for name in ("mask", "region"))
    load = partial(_load, row["case"], path.parent / image, truth, region)
    stamp = stamp_of(path.parent / image, truth, region)
    return EvaluationCase(row["case"], row.get("group", "") or row["case"], role, load, stamp)


def _load(name: str, image: Path, mask: Path | None, region: Path | None) -> LabeledVolume:
    from ..api import bounded
    from ..volume_io import read_label, read_volume

    for path in (image, mask, region):
        if path is not None and not path.exists():
            raise InputError(f"{name}: {path} does not exist; paths in cases.csv are relative to its own folder")
    volume = read_volume(image)
    truth, inside = (None if path is None else np.asarray(read_label(path, volume) != 0) for path in (mask, region))
    volume = bounded(volume, inside)
    return LabeledVolume(volume, np.zeros(volume.shape_kji, bool) if truth is None else truth, inside)


@dataclass(frozen=True)
class Fold:
    """One bank and what it scores.

    Attributes:
        name: "all", or the group left out.
        sources: cases whose lesion-free slices make the bank.
        scored: cases the bank scores, calibration cases among them.
    """

    name: str
    sources: tuple[EvaluationCase, ...]
    scored: tuple[EvaluationCase, ...]


def make_folds(data: DataSet, leave_one_group_out: bool, needs_bank: bool = True) -> list[Fold]:
    """Return the folds of a data set; without a bank any cases will do.

    Raises:
        UsageError: there is nothing to score, or nothing normal to build a bank from.
    """
    tests = data.of_role("test")
    if not tests:
        raise UsageError(f"{data.name} has no case to test; set split to test for at least one case")
    if not leave_one_group_out:
        normals = data.of_role("normal")
        if not normals and needs_bank:
            raise UsageError(
                f"{data.name} has no normal case; set split to normal for the cases that make the memory bank, "
                "or leave one group out in turn (--leave-one-group-out)"
            )
        return [Fold("all", normals, (*data.of_role("calibration"), *tests))]
    groups = list(dict.fromkeys(case.group for case in tests))
    if len({case.group for case in data.cases}) < 2 and needs_bank:
        raise UsageError(
            f"{data.name} has one group, so leaving it out leaves no bank; give cases of two groups or more"
        )
    return [_leave_out(data, group) for group in groups]


def _leave_out(data: DataSet, group: str) -> Fold:
    sources = tuple(case for case in data.cases if case.group != group)
    return Fold(group, sources, tuple(case for case in data.of_role("test") if case.group == group))
