"""Lesions: irregular blobs with a known border."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, ByteArray, DoubleArray
from .shapes import Point, Waves

_ROUGHNESS = 0.16
_TRIES = 4000


@dataclass(frozen=True)
class Lesion:
    """One lesion in the body's frame.

    Attributes:
        center: mm.
        diameter_mm: mean diameter.
        kind: in words, for reports.
        value: its signal, in the phantom's own units.
        radii: of the ellipsoid it started from, mm.
        bumps: irregularity of its border.
    """

    center: Point
    diameter_mm: float
    kind: str
    value: float
    radii: Point
    bumps: Waves

    def distance(self, points: AnyArray) -> AnyArray:
        """Return the approximate signed distance (N,) to the border in mm, negative inside."""
        scaled = np.stack([(points[n] - self.center[n]) / self.radii[n] for n in range(3)])
        level = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
        distance = (level - 1) * min(self.radii)
        near = np.flatnonzero(level < 2)
        outward = scaled[:, near] / (level[near] + 1e-9)
        distance[near] -= _ROUGHNESS * self.bumps.at(outward) * min(self.radii)
        return np.asarray(distance)


def draw_lesion(rng: np.random.Generator, center: Point, diameter_mm: float, kind: str, value: float) -> Lesion:
    """Draw the form of a lesion of given place, size and signal."""
    stretch = rng.uniform(0.8, 1.25, 3)
    stretch /= np.cbrt(stretch.prod())
    x, y, z = (float(r) for r in diameter_mm / 2 * stretch)
    return Lesion(center, diameter_mm, kind, value, (x, y, z), Waves.draw(rng, 5, (1.6, 3.5)))


def place(
    rng: np.random.Generator, box: DoubleArray, diameter_mm: float, fits: Callable[[AnyArray], bool]
) -> Point | None:
    """Draw a center within box (2, 3) that `fits` accepts, together with points of a ball round it.

    fits: takes points (3, 15): the center and 14 points half a diameter away.
    """
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / np.sqrt(3)
    ball = np.vstack([np.zeros(3), np.eye(3), -np.eye(3), corners]) * diameter_mm / 2
    for _ in range(_TRIES):
        center = rng.uniform(box[0], box[1])
        if fits((center + ball).T):
            x, y, z = (round(float(value), 3) for value in center)
            return x, y, z
    return None


def apart(center: AnyArray, diameter_mm: float, others: list[Lesion], gap_mm: float) -> bool:
    """Tell whether a ball keeps its distance from all lesions placed so far."""
    return all(
        np.linalg.norm(center - np.array(other.center)) > (diameter_mm + other.diameter_mm) / 2 + gap_mm
        for other in others
    )


def label_points(lesions: list[Lesion], points: AnyArray) -> ByteArray:
    """Return the number (N,) of the lesion each point lies in, 0 = none."""
    labels = np.zeros(points.shape[1], np.uint8)
    for number, lesion in enumerate(lesions, 1):
        labels[lesion.distance(points) < 0] = number
    return labels
