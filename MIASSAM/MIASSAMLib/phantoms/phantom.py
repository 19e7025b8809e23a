"""Sample a phantom on a grid: volume, true lesions and foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..arrays import AnyArray, BoolArray, ByteArray
from ..errors import UsageError
from ..volume import Volume
from . import brain, liver, retina
from .grid import Grid


class Scene(Protocol):
    """A body as functions of position (points (3, N) in its own frame, mm)."""

    modality: str
    lesions: list[Any]

    def signal(self, points: AnyArray) -> AnyArray:
        """Return what the scanner measures (N,)."""
        ...

    def labels(self, points: AnyArray) -> ByteArray:
        """Return the number (N,) of the lesion each point lies in, 0 = none."""
        ...

    def foreground(self, points: AnyArray) -> BoolArray:
        """Return where the body is (N,)."""
        ...


_SCENES: dict[str, tuple[Callable[[int, int], Scene], Grid, str]] = {
    "brain": (brain.Brain, brain.GRID, "FLAIR-like brain MRI"),
    "liver": (liver.Liver, liver.GRID, "portal-venous-like abdominal CT in HU"),
    "retina": (retina.Retina, retina.GRID, "OCT-like macula"),
}
KINDS = tuple(_SCENES)


@dataclass(frozen=True)
class TrueLesion:
    """A lesion as it was put there.

    Attributes:
        label: its number in the label map.
        center_ras: mm.
        diameter_mm: mean diameter.
        kind: in words, starting with "bright" or "dark".
    """

    label: int
    center_ras: tuple[float, float, float]
    diameter_mm: float
    kind: str


@dataclass(frozen=True)
class Phantom:
    """A volume whose truth is known.

    Attributes:
        volume: what the scanner would give.
        lesion_labels_kji: uint8 (K, J, I), one number per lesion, 0 = none.
        foreground_kji: bool (K, J, I), the body (in OCT the retina).
        description: one line of words.
        lesions: the lesions that were placed, whether or not the grid covers them.
    """

    volume: Volume
    lesion_labels_kji: ByteArray
    foreground_kji: BoolArray
    description: str
    lesions: tuple[TrueLesion, ...]


def default_grid(kind: str) -> Grid:
    """Return the grid a kind of phantom is sampled on when none is given.

    Raises:
        UsageError: the kind is unknown.
    """
    return _scene_of(kind)[1]


def make_phantom(kind: str, seed: int = 0, n_lesions: int = 0, grid: Grid | None = None) -> Phantom:
    """Make one phantom; equal arguments give equal voxels on every machine.

    Phantoms of one kind share their anatomy and differ by seed in size, form, texture, shading
    and noise, so those without lesions make a bank of normals. The body does not depend on the
    grid: other grids see the same lesions in the same places.

    Raises:
        UsageError: the kind is unknown.
    """
    build, plain, words = _scene_of(kind)
    grid = grid or plain
    scene = build(seed, n_lesions)
    slices = [_sample(scene, grid.anatomy_points(k)) for k in range(grid.shape_kji[0])]
    signal, labels, foreground = (np.concatenate(part).reshape(grid.shape_kji) for part in zip(*slices))
    found = ", ".join(lesion.kind for lesion in scene.lesions) or "no lesion"
    name = f"{kind}_{'normal' if not scene.lesions else 'lesions'}_{seed:03d}"
    return Phantom(
        volume=Volume(signal.astype(np.float32), grid.ijk_to_ras, name, scene.modality, f"phantom {kind} seed {seed}"),
        lesion_labels_kji=labels,
        foreground_kji=foreground,
        description=f"{words}, seed {seed}: {found}",
        lesions=tuple(_true_lesion(n, lesion, grid) for n, lesion in enumerate(scene.lesions, 1)),
    )


def _scene_of(kind: str) -> tuple[Callable[[int, int], Scene], Grid, str]:
    if kind not in _SCENES:
        raise UsageError(f"there is no phantom '{kind}'; choose one of {', '.join(KINDS)}")
    return _SCENES[kind]


def _sample(scene: Scene, points: AnyArray) -> tuple[AnyArray, ByteArray, BoolArray]:
    return scene.signal(points), scene.labels(points), scene.foreground(points)


def _true_lesion(label: int, lesion: Any, grid: Grid) -> TrueLesion:
    x, y, z, _ = (float(value) for value in grid.anatomy_to_ras @ np.array([*lesion.center, 1.0]))
    return TrueLesion(label, (x, y, z), lesion.diameter_mm, lesion.kind)
