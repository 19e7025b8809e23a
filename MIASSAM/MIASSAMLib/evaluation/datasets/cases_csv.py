"""Read `cases.csv`: header `case,image,mask,group,split`; paths are relative to its own folder."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np

from ...errors import InputError, UsageError
from .case import DataSet, EvaluationCase, LabeledVolume, Role, stamp_of

COLUMNS = ("case", "image", "mask", "group", "split")
SPLITS = ("normal", "test", "")


def read_cases(path: Path, leave_one_group_out: bool = False) -> DataSet:
    """Return the cases of a file.

    An empty mask means normal; an empty group is the case itself. An empty split is `test` when each
    group is left out in turn, else `test` with a mask and `normal` without.

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
    mask_path = path.parent / mask if mask else None
    load = partial(_load, path.parent / image, mask_path, row["case"])
    return EvaluationCase(
        row["case"], row.get("group", "") or row["case"], role, load, stamp_of(path.parent / image, mask_path)
    )


def _load(image: Path, mask: Path | None, name: str) -> LabeledVolume:
    from ...volume_io import read_label, read_volume

    for path in (image, mask):
        if path is not None and not path.exists():
            raise InputError(f"{name}: {path} does not exist; paths in cases.csv are relative to its own folder")
    volume = read_volume(image)
    truth = np.zeros(volume.shape_kji, bool) if mask is None else read_label(mask, volume) != 0
    return LabeledVolume(volume, np.asarray(truth))
