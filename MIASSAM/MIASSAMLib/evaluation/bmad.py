"""Read BMAD's three data sets in every layout they come in.

Image and mask are paired by file stem, never by sorted position; names match in any case.
Layouts of a test split: `test/{good,Ungood}/{img,label|anomaly_mask|ground_truth}` (BMAD) and
`test/test/{good,Ungood}` with `test/test_labels/{good,Ungood}` (the published MIAS-SAM code).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from ..errors import InputError, UsageError
from .cases import DataSet, EvaluationCase, LabeledVolume, Role, stamp_of

Binarize = Literal[">0", "==255"]
BINARIZE: tuple[Binarize, ...] = (">0", "==255")
BYTE_WINDOW: dict[str, object] = {"rule": "fixed", "low": 0.0, "high": 255.0}
"""BMAD's images are bytes already scaled per slice; a second scaling would differ from slice to slice."""

HELD_OUT_EVERY = 20
"""Without a validation split, every 20th training image calibrates instead of teaching the bank."""

_IMAGE_FOLDERS = ("img", "image", "images", "")
_MASK_FOLDERS = ("label", "labels", "anomaly_mask", "ground_truth", "mask")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"}
_MODALITY = {"brain": "mri", "liver": "ct", "retina": "oct"}
_DEPTH = 3


def find_bmad(root: Path, binarize: Binarize = ">0") -> list[DataSet]:
    """Return the BMAD data sets at or below a folder.

    Raises:
        UsageError: the folder holds no data set, or the rule is unknown.
    """
    if binarize not in BINARIZE:
        raise UsageError(f"binarization rule '{binarize}' is unknown; choose one of {', '.join(BINARIZE)}")
    folders = sorted(_data_set_folders(root, _DEPTH))
    if not folders:
        raise UsageError(
            f"{root} holds no BMAD data set; expected folders with train/good and test, such as "
            "Brain_AD/BraTS2021_slice; give the folder they lie in"
        )
    return [_read(folder, root, binarize) for folder in folders]


def group_of(stem: str) -> str:
    """Return the patient a slice belongs to: its stem without the last number.

    `BraTS2021_00045_78` and `BraTS2021_00045_79` are slices of one patient; a stem that is only a
    number is a group of its own.
    """
    shorter = re.sub(r"[_\-. ]*\d+$", "", stem)
    return shorter or stem


def _data_set_folders(folder: Path, depth: int) -> Iterator[Path]:
    train = _child(folder, "train")
    if train and _child(train, "good") and _child(folder, "test"):
        yield folder
        return
    if depth and folder.is_dir():
        for child in folder.iterdir():
            if child.is_dir():
                yield from _data_set_folders(child, depth - 1)


def _read(folder: Path, root: Path, binarize: Binarize) -> DataSet:
    words = "/".join(folder.absolute().parts[-3:]).lower()
    name = next((word for word in _MODALITY if word in words), folder.name)
    train = _normal_images(folder, "train")
    valid = [*_normal_images(folder, "valid"), *_normal_images(folder, "val")]
    held_out = valid or train[::HELD_OUT_EVERY]
    held_names = set() if valid else set(held_out)
    cases = [_case(path, None, "normal", "train", binarize) for path in train if path not in held_names]
    cases += [_case(path, None, "calibration", "held-out", binarize) for path in held_out]
    cases += list(_test_cases(folder, binarize))
    return DataSet(
        name, tuple(cases), f"a mask pixel is anomalous when {binarize}", BYTE_WINDOW, _MODALITY.get(name, "")
    )


def _normal_images(folder: Path, split: str) -> list[Path]:
    good = _descend(folder, split, "good")
    return _images(good)[0] if good else []


def _test_cases(folder: Path, binarize: Binarize) -> Iterator[EvaluationCase]:
    test = _child(folder, "test")
    assert test is not None
    nested = _child(test, "test")
    for label in ("good", "ungood"):
        images_in = _child(nested or test, label)
        if images_in is None:
            continue
        paths, parent = _images(images_in)
        masks = _masks(test, label, parent, bool(nested))
        for path in paths:
            mask = masks.get(path.stem.lower())
            yield _case(path, mask, "test", label, binarize)


def _masks(test: Path, label: str, images_parent: Path, is_nested: bool) -> dict[str, Path]:
    if is_nested:
        folder = _descend(test, "test_labels", label)
    else:
        split = _child(test, label)
        folder = next((found for name in _MASK_FOLDERS if (found := _child(split, name))), None) if split else None
    files = _files(folder) if folder and folder != images_parent else []
    return {path.stem.lower(): path for path in files}


def _images(folder: Path) -> tuple[list[Path], Path]:
    """Return the images of `good` or `Ungood`, and the folder that holds them."""
    for name in _IMAGE_FOLDERS:
        inner = _child(folder, name) if name else folder
        if inner and (files := _files(inner)):
            return files, inner
    return [], folder


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.suffix.lower() in _SUFFIXES)


def _child(folder: Path, name: str) -> Path | None:
    """Return the subfolder of this name in any case."""
    if not folder.is_dir():
        return None
    return next((path for path in sorted(folder.iterdir()) if path.is_dir() and path.name.lower() == name), None)


def _descend(folder: Path, *names: str) -> Path | None:
    current: Path | None = folder
    for name in names:
        current = _child(current, name) if current else None
    return current


def _case(path: Path, mask: Path | None, role: Role, split: str, binarize: Binarize) -> EvaluationCase:
    load = partial(_load, path, mask, binarize, needs_mask=split == "ungood")
    return EvaluationCase(f"{split}/{path.stem}", group_of(path.stem), role, load, stamp_of(path, mask))


def _load(path: Path, mask: Path | None, binarize: Binarize, needs_mask: bool) -> LabeledVolume:
    from ..volume_io import read_volume

    if needs_mask and mask is None:
        raise InputError(f"{path}: an anomalous image without a mask of the same name; add the mask {path.stem}.png")
    volume = read_volume(path)
    if mask is None:
        return LabeledVolume(volume, np.zeros(volume.shape_kji, bool))
    levels = read_volume(mask).voxels_kji
    return LabeledVolume(volume, np.asarray(levels > 0 if binarize == ">0" else levels >= 254.5))
