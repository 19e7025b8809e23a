"""Soft solids and noise as functions of position, so that every grid sees the same body.

Positions are arrays (3, N): x, y, z in mm. No matrix product touches them, because its rounding
may depend on a point's place in the array, and a flipped grid must give the same values.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, DoubleArray, FloatArray

Point = tuple[float, float, float]


def ellipsoid(points: AnyArray, center: Point, radii: Point) -> AnyArray:
    """Return the approximate signed distance (N,) in mm to an ellipsoid, negative inside."""
    level = np.zeros_like(points[0])
    slope = np.zeros_like(points[0])
    for axis in range(3):
        scaled = (points[axis] - center[axis]) * (1 / radii[axis])
        level += scaled * scaled
        slope += (scaled * (1 / radii[axis])) ** 2
    level = np.sqrt(level)
    return np.asarray(level * (level - 1) / (np.sqrt(slope) + 1e-6))


def pair(points: AnyArray, center: Point, radii: Point) -> AnyArray:
    """Return the signed distance to an ellipsoid on the right and its mirror image on the left."""
    return ellipsoid(np.stack([np.abs(points[0]), points[1], points[2]]), center, radii)


def cylinder(points: AnyArray, center_xy: tuple[float, float], radii: tuple[float, float]) -> AnyArray:
    """Return the signed distance to an upright elliptic cylinder."""
    x, y = ((points[axis] - center_xy[axis]) * (1 / radii[axis]) for axis in (0, 1))
    level = np.sqrt(x * x + y * y)
    slope = np.sqrt((x / radii[0]) ** 2 + (y / radii[1]) ** 2)
    return np.asarray(level * (level - 1) / (slope + 1e-6))


def tube(points: AnyArray, start: Point, end: Point, radii: tuple[float, float]) -> AnyArray:
    """Return the signed distance to a tapering tube between two points."""
    axis = np.array(end) - np.array(start)
    share = sum((points[n] - start[n]) * (axis[n] / (axis @ axis)) for n in range(3))
    along = np.clip(share, 0, 1)
    square = sum((points[n] - start[n] - along * axis[n]) ** 2 for n in range(3))
    return np.asarray(np.sqrt(square) - radii[0] - along * (radii[1] - radii[0]))


def inside(distance: AnyArray, edge_mm: float) -> AnyArray:
    """Return the share (N,) in [0, 1] of a solid at each point: 1 inside, 0 outside, soft over edge_mm."""
    return np.asarray(np.clip(0.5 - distance * (1 / edge_mm), 0, 1))


def paint(values: AnyArray, distance: AnyArray, value: AnyArray | float, edge_mm: float) -> None:
    """Paint a solid over the values, in place."""
    values += inside(distance, edge_mm) * (value - values)


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves, zero mean, standard deviation 1.

    Attributes:
        vectors: wave vectors (M, 3), rad/mm.
        phases: (M,) rad.
    """

    vectors: DoubleArray
    phases: DoubleArray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, wavelengths_mm: tuple[float, float]) -> Waves:
        """Draw `count` waves of random direction and a wavelength between the two given."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = rng.uniform(*wavelengths_mm, size=(count, 1))
        return cls(directions * (2 * np.pi / lengths), rng.uniform(0, 2 * np.pi, count))

    def at(self, points: AnyArray, stretch: Point = (1.0, 1.0, 1.0)) -> FloatArray:
        """Return the field (N,) at the points; `stretch` multiplies x, y and z first."""
        total = np.zeros(points.shape[1], np.float32)
        for turns in self._turns(points, stretch):
            total += np.sin(turns)
        return total * np.float32(np.sqrt(2 / len(self.phases)))

    def zero_distance(self, points: AnyArray) -> FloatArray:
        """Return the approximate distance (N,) in mm to the surfaces where the field is zero."""
        value = np.zeros(points.shape[1], np.float32)
        slope = np.zeros((3, points.shape[1]), np.float32)
        for turns, vector in zip(self._turns(points, (1.0, 1.0, 1.0)), self.vectors):
            value += np.sin(turns)
            cosine = np.cos(turns)
            for axis in range(3):
                slope[axis] += cosine * np.float32(vector[axis])
        steepness = np.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
        return np.asarray(np.abs(value) / (steepness + np.float32(0.12)))

    def _turns(self, points: AnyArray, stretch: Point) -> list[FloatArray]:
        x, y, z = (points[axis].astype(np.float32) for axis in range(3))
        waves = zip((self.vectors * stretch).astype(np.float32), self.phases.astype(np.float32))
        return [vector[0] * x + vector[1] * y + vector[2] * z + phase for vector, phase in waves]


def white_noise(points: DoubleArray, seed: int) -> DoubleArray:
    """Return standard normal noise (N,) that depends on the position (to a micrometer) and the seed only."""
    cells = np.floor((points + 0.00031) * 1000).astype(np.int64).astype(np.uint64)
    mixed = np.full(points.shape[1], np.uint64(seed * 2654435761 % 2**63), np.uint64)
    for axis in range(3):
        mixed = _scramble(mixed ^ cells[axis])
    first = (mixed >> np.uint64(11)).astype(np.float64) / 2**53
    second = (_scramble(mixed) >> np.uint64(11)).astype(np.float64) / 2**53
    return np.asarray(np.sqrt(-2 * np.log(first + 2**-54)) * np.cos(2 * np.pi * second))


def _scramble(state: AnyArray) -> AnyArray:
    """Mix 64-bit states (the finalizer of SplitMix64)."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(state ^ (state >> np.uint64(31)))
