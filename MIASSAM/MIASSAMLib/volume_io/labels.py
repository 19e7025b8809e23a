"""Read a label map onto a volume's grid: exact or refused, never resampled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arrays import AnyArray, DoubleArray
from ..errors import InputError
from ..volume import Volume
from .formats import file_format
from .reading import read_raw

_OFF_GRID_VOXELS = 0.1
_LABEL_MAX = np.iinfo(np.uint16).max


def read_label(path: Path | str, like: Volume) -> AnyArray:
    """Return labels uint16 (K, J, I) on the grid of `like`; 0 = none.

    The file may be stored flipped, with axes in another order, or cropped (as Slicer saves
    segmentations): as long as its voxels coincide with those of `like`, no value is changed.

    Raises:
        InputError: unreadable, not whole numbers, or the voxels do not coincide.
    """
    path = Path(path).expanduser()
    raw = read_raw(path)
    labels = _whole_numbers(_layers(raw.voxels, file_format(path) == "picture"), path.name)
    to_like = np.linalg.inv(like.ijk_to_ras) @ raw.ijk_to_ras
    steps = _grid_steps(to_like, labels.shape, like, path.name)
    return _paste(labels, steps, like, path.name)


def _layers(voxels: AnyArray, is_picture: bool) -> AnyArray:
    """Merge colors, or a segmentation's overlapping layers, the highest value on top; transparency does not count."""
    if voxels.ndim == 3:
        return voxels
    n_channels = voxels.shape[3]
    has_alpha = is_picture and n_channels in (2, 4)
    return np.asarray(voxels[..., : n_channels - has_alpha].max(axis=3))


def _whole_numbers(voxels: AnyArray, name: str) -> AnyArray:
    """Return uint16 (K, J, I)."""
    if not np.array_equal(voxels, np.round(voxels)) or voxels.min() < 0 or voxels.max() > _LABEL_MAX:
        raise InputError(
            f"{name}: label values run from {voxels.min():g} to {voxels.max():g}; "
            f"expected whole numbers from 0 to {_LABEL_MAX}; give a label map, not an image"
        )
    return voxels.astype(np.uint16)


def _grid_steps(to_like: DoubleArray, shape_kji: tuple[int, ...], like: Volume, name: str) -> AnyArray:
    """Round label-voxel to image-voxel steps to whole voxels; int (4, 4).

    Raises:
        InputError: a corner of the label lies off the image's grid.
    """
    steps = np.round(to_like)
    last = np.array(shape_kji[::-1]) - 1.0
    corners = np.array([[*(last * pick), 1.0] for pick in np.ndindex(2, 2, 2)])
    off = float(np.abs(corners @ (to_like - steps).T).max())
    permutation = np.abs(steps[:3, :3])
    if off > _OFF_GRID_VOXELS or not (permutation.sum(0) == 1).all() or not (permutation.sum(1) == 1).all():
        raise InputError(
            f"{name}: the label's voxels (shape {_words(shape_kji)}) do not lie on those of {like.name} "
            f"(shape {_words(like.shape_kji)}, spacing {_words(np.round(like.spacing_mm, 3))} mm); "
            "expected the same grid; "
            "resample the label to the image, for example with Slicer's Resample Scalar/Vector/DWI Volume"
        )
    return steps.astype(int)


def _paste(labels: AnyArray, steps: AnyArray, like: Volume, name: str) -> AnyArray:
    order = [int(np.flatnonzero(steps[axis, :3])[0]) for axis in range(3)]
    signs = [int(steps[axis, order[axis]]) for axis in range(3)]
    moved = labels.transpose(2, 1, 0).transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    sizes = np.array(moved.shape)
    start = steps[:3, 3] - np.where(np.array(signs) < 0, sizes - 1, 0)
    upper = np.array(like.shape_kji[::-1])
    first, last = np.maximum(start, 0), np.minimum(start + sizes, upper)
    target = np.zeros(tuple(upper), np.uint16)
    inside = moved[tuple(slice(max(0, a - s), max(0, b - s)) for a, b, s in zip(first, last, start))]
    if np.count_nonzero(inside) != np.count_nonzero(moved):
        raise InputError(
            f"{name}: part of the label lies outside {like.name}; expected a label of the same image; "
            "give the label drawn on this image"
        )
    if inside.size:
        target[tuple(slice(a, b) for a, b in zip(first, last))] = inside
    return np.ascontiguousarray(target.transpose(2, 1, 0))


def _words(numbers: AnyArray | tuple[int, ...]) -> str:
    return " x ".join(f"{number:g}" for number in np.asarray(numbers).tolist())
