"""A brain as FLAIR MRI shows it: bright gray matter, dark fluid; lesions bright, or dark cysts."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, BoolArray, ByteArray
from .grid import Grid
from .lesions import Lesion, apart, draw_lesion, label_points, place
from .shapes import Waves, cylinder, ellipsoid, inside, paint, pair, white_noise

GRID = Grid.centered((20, 176, 160), (1.25, 1.25, 7.0))

_SCALP, _BONE, _MARROW, _FLUID, _GRAY, _WHITE = 0.72, 0.05, 0.24, 0.10, 0.61, 0.46
_UNITS = 900.0
_EDGE_MM = 1.2
_NOISE = 0.022
_SULCUS_MM = 13.0
_LESION_MM = (12.0, 30.0)
_LESION_BOX = np.array([[-50.0, -62, -25], [50, 62, 55]])


class Brain:
    """One head; `seed` varies its size, folds, ventricles, shading and noise a little."""

    modality = "mri"

    def __init__(self, seed: int, n_lesions: int) -> None:
        rng = np.random.default_rng([seed, 11])
        self._seed = seed
        self._scale = rng.normal(1, 0.02, 3)
        self._shift = rng.normal(0, 1.2, 3)
        self._warp = [Waves.draw(rng, 3, (110, 220)) for _ in range(3)]
        self._folds = Waves.draw(rng, 8, (20, 34))
        self._ventricles = rng.uniform(-0.8, 1.2)
        self._shading = Waves.draw(rng, 3, (260, 420))
        self._texture = Waves.draw(rng, 8, (6, 22))
        self.lesions = self._draw_lesions(np.random.default_rng([seed, 12]), n_lesions)

    def signal(self, points: AnyArray) -> AnyArray:
        """Return the magnitude signal (N,) with shading and Rician noise."""
        own = self._own(points)
        values = self._head(own)
        for lesion in self.lesions:
            distance = lesion.distance(points)
            halo = 0.35 * (max(lesion.value, _WHITE) - _WHITE)
            paint(values, distance - 4, values + halo * (values > 0.3), 8.0)
            paint(values, distance, lesion.value + 0.05 * self._texture.at(points), 2.0)
        values *= 1 + 0.07 * self._shading.at(points)
        real = values + _NOISE * white_noise(points, 2 * self._seed)
        imaginary = _NOISE * white_noise(points, 2 * self._seed + 1)
        return np.asarray(_UNITS * np.hypot(real, imaginary))

    def foreground(self, points: AnyArray) -> BoolArray:
        """Return where the head is."""
        return np.asarray(_head_distance(self._own(points)) < 0)

    def labels(self, points: AnyArray) -> ByteArray:
        """Return the number (N,) of the lesion each point lies in, 0 = none."""
        return label_points(self.lesions, points)

    def _own(self, points: AnyArray) -> AnyArray:
        """Map positions to the model head, undoing this head's size, place and form."""
        bend = (waves.at(points) for waves in self._warp)
        moved = [(points[n] - self._shift[n]) / self._scale[n] + mm for n, mm in enumerate(bend)]
        return np.stack(moved).astype(np.float32)

    def _head(self, own: AnyArray) -> AnyArray:
        depth = _head_distance(own)
        values = np.zeros(own.shape[1], np.float32)
        paint(values, depth, _SCALP, _EDGE_MM)
        paint(values, depth + 5, _BONE, _EDGE_MM)
        paint(values, np.abs(depth + 8) - 1.5, _MARROW, 2.0)
        paint(values, depth + 11, _FLUID, _EDGE_MM)
        self._skull_base(values, own, depth)
        cortex = self._cortex(own)
        paint(values, cortex, _GRAY, 1.5)
        paint(values, cortex + 3.2, _WHITE, 1.8)
        paint(values, self._deep_gray(own), _GRAY - 0.02, 2.5)
        fluid = self._fluid_spaces(own)
        paint(values, np.abs(fluid - 1.0) - 0.8, 0.56, 1.5)
        paint(values, fluid, _FLUID, 1.5)
        values += 0.012 * self._texture.at(own) * inside(cortex, 2.0)
        return values

    def _skull_base(self, values: AnyArray, own: AnyArray, depth: AnyArray) -> None:
        """Paint face and skull base below the frontal lobes: soft tissue, bone, two eyes, air in the sinuses."""
        face = np.maximum(depth + 10, own[2] + 22 - 0.42 * np.clip(own[1], -45.0, 30.0))
        paint(values, face, 0.36 + 0.06 * self._texture.at(own), 3.0)
        paint(values, np.abs(face + 2) - 1.5, _BONE, 2.0)
        paint(values, pair(own, (30, 62, -30), (13, 13, 13)), 0.14, 2.0)
        paint(values, pair(own, (9, 52, -34), (7, 20, 14)), 0.02, 2.0)

    def _cortex(self, own: AnyArray) -> AnyArray:
        """Return the signed distance to the folded surface: fluid enters the sulci."""
        smooth = _brain_distance(own)
        beyond = np.clip(-smooth - _SULCUS_MM, 0, None)
        sulcus = np.hypot(self._folds.zero_distance(own), beyond) - 0.9
        folded = np.maximum(smooth, -sulcus)
        callosum = ellipsoid(own, (0, 0, 14), (40, 52, 20))
        fissure = 1.4 - np.abs(own[0] + 0.8 * np.sin(own[1] / 17))
        return np.asarray(np.maximum(folded, np.minimum(fissure, callosum / 4)))

    def _deep_gray(self, own: AnyArray) -> AnyArray:
        caudate = pair(own, (15, 17, 13), (4.5, 11, 8))
        putamen = pair(own, (26, 4, 4), (5.5, 15, 9))
        thalamus = pair(own, (11, -12, 6), (8, 12, 9))
        return np.asarray(np.minimum(np.minimum(caudate, putamen), thalamus))

    def _fluid_spaces(self, own: AnyArray) -> AnyArray:
        spaces = (
            pair(own, (9, 0, 20), (5, 28, 6)),
            pair(own, (10, 26, 15), (4.5, 12, 7)),
            pair(own, (20, -32, 11), (5, 17, 6)),
            ellipsoid(own, (0, -3, 2), (1.8, 10, 8)),
            ellipsoid(own, (0, -40, -32), (6, 4, 7)),
        )
        return np.asarray(np.minimum.reduce(spaces) - self._ventricles)

    def _draw_lesions(self, rng: np.random.Generator, count: int) -> list[Lesion]:
        lesions: list[Lesion] = []
        for number in range(count):
            diameter = float(rng.uniform(*_LESION_MM))
            is_cyst = (self._seed + number) % 4 == 3

            def fits(ball: AnyArray, diameter: float = diameter) -> bool:
                own = self._own(ball)
                clear = _brain_distance(own).max() < -7 and self._fluid_spaces(own).min() > 1
                return bool(clear and apart(ball[:, 0], diameter, lesions, 12.0))

            center = place(rng, _LESION_BOX, diameter, fits)
            if center is not None:
                value = 0.16 if is_cyst else float(rng.uniform(0.92, 1.12))
                lesions.append(draw_lesion(rng, center, diameter, "dark cyst" if is_cyst else "bright lesion", value))
        return lesions


def _head_distance(own: AnyArray) -> AnyArray:
    skull = ellipsoid(own, (0, -2, 6), (80, 100, 82))
    neck = np.maximum(cylinder(own, (0, -18), (58, 68)), own[2] + 20)
    return np.asarray(np.minimum(skull, neck))


def _brain_distance(own: AnyArray) -> AnyArray:
    cerebrum = np.maximum(ellipsoid(own, (0, 0, 16), (66, 85, 57)), -own[2] - 24)
    frontal = np.maximum(pair(own, (20, 36, 0), (34, 42, 26)), -own[2] - 16)
    temporal = pair(own, (40, 8, -20), (22, 40, 22))
    cerebellum = pair(own, (20, -46, -38), (32, 30, 24))
    stem = np.maximum(cylinder(own, (0, -18), (12, 11)), own[2] + 5)
    return np.asarray(np.minimum.reduce((cerebrum, frontal, temporal, cerebellum, stem)))
