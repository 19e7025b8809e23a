"""An abdomen as portal-venous CT shows it, in Hounsfield units; lesions in the liver, most of them dark."""

from __future__ import annotations

import numpy as np

from ..arrays import AnyArray, BoolArray, ByteArray
from .grid import Grid
from .lesions import Lesion, apart, draw_lesion, label_points, place
from .shapes import Waves, cylinder, ellipsoid, inside, paint, pair, tube, white_noise

GRID = Grid.centered((20, 144, 192), (1.9, 1.9, 7.0))

_AIR, _LUNG, _FAT, _MUSCLE, _LIVER, _BLOOD = -1000.0, -830.0, -98.0, 56.0, 104.0, 158.0
_EDGE_MM = 2.0
_NOISE_HU = 9.0
_LESION_MM = (16.0, 36.0)
_LESION_BOX = np.array([[0.0, -60, -50], [130, 60, 60]])
_KINDS = (("dark metastasis", 48.0), ("dark cyst", 4.0), ("bright lesion", 205.0), ("dark metastasis", 58.0))
_PORTAL = (
    ((34.0, 4.0, -4.0), (62.0, 0.0, 8.0), (6.0, 5.0)),
    ((62.0, 0.0, 8.0), (105.0, -22.0, -10.0), (4.5, 2.2)),
    ((62.0, 0.0, 8.0), (98.0, 20.0, 24.0), (4.5, 2.2)),
    ((34.0, 4.0, -4.0), (20.0, 38.0, 26.0), (4.5, 2.2)),
    ((22.0, -28.0, 56.0), (88.0, -34.0, 34.0), (5.0, 2.2)),
    ((22.0, -28.0, 56.0), (62.0, 34.0, 38.0), (5.0, 2.2)),
)
_BOWEL = ((-30.0, 58.0, -48.0), (10.0, 66.0, -56.0), (48.0, 60.0, -60.0), (-78.0, 30.0, -40.0), (-20.0, 20.0, -62.0))


class Liver:
    """One abdomen; `seed` varies its size, organs' places, vessels, contrast and noise a little."""

    modality = "ct"

    def __init__(self, seed: int, n_lesions: int) -> None:
        rng = np.random.default_rng([seed, 21])
        self._seed = seed
        self._scale = rng.normal(1, 0.02, 3)
        self._shift = rng.normal(0, 2.0, 3)
        self._warp = [Waves.draw(rng, 3, (90, 200)) for _ in range(3)]
        self._contrast = rng.normal(0, 4.0)
        self._vessel_shift = rng.normal(0, 3.0, (len(_PORTAL) + 1, 3))
        self._bowel_shift = rng.normal(0, 5.0, (len(_BOWEL), 3))
        self._texture = Waves.draw(rng, 10, (5, 16))
        self.lesions = self._draw_lesions(np.random.default_rng([seed, 22]), n_lesions)

    def signal(self, points: AnyArray) -> AnyArray:
        """Return Hounsfield units (N,) with noise."""
        own = self._own(points)
        values = self._body(own)
        self._bones(values, own)
        self._organs(values, own)
        for lesion in self.lesions:
            grain = 5 * self._texture.at(points) if lesion.kind != "dark cyst" else 0.0
            paint(values, lesion.distance(points), lesion.value + grain, 3.0)
        noise = _NOISE_HU * white_noise(points, self._seed)
        noise *= 0.4 + 0.6 * inside(_body_distance(own), 4.0)
        return np.asarray(np.maximum(values + noise, -1024.0))

    def foreground(self, points: AnyArray) -> BoolArray:
        """Return where the body is."""
        return np.asarray(_body_distance(self._own(points)) < 0)

    def labels(self, points: AnyArray) -> ByteArray:
        """Return the number (N,) of the lesion each point lies in, 0 = none."""
        return label_points(self.lesions, points)

    def _own(self, points: AnyArray) -> AnyArray:
        bend = (2.5 * waves.at(points) for waves in self._warp)
        moved = [(points[n] - self._shift[n]) / self._scale[n] + mm for n, mm in enumerate(bend)]
        return np.stack(moved).astype(np.float32)

    def _body(self, own: AnyArray) -> AnyArray:
        depth = _body_distance(own)
        values = np.full(own.shape[1], _AIR, np.float32)
        paint(values, depth, 20.0, _EDGE_MM)
        paint(values, depth + 2, _FAT, _EDGE_MM)
        paint(values, depth + 15, _MUSCLE + 3 * self._texture.at(own), 3.0)
        paint(values, depth + 27, _FAT + 4 * self._texture.at(own), 3.0)
        paint(values, pair(own, (36, -84, 0), (34, 20, 900)), _MUSCLE, 4.0)
        return values

    def _bones(self, values: AnyArray, own: AnyArray) -> None:
        disc = np.abs((own[2] + 9) % 36 - 18) - 14
        vertebra = np.maximum(cylinder(own, (0, -60), (22, 18)), disc)
        paint(values, cylinder(own, (0, -60), (22, 18)), 85.0, _EDGE_MM)
        paint(values, vertebra, 430.0, _EDGE_MM)
        paint(values, vertebra + 3, 185.0 + 20 * self._texture.at(own), _EDGE_MM)
        paint(values, cylinder(own, (0, -87), (13, 12)), 380.0, _EDGE_MM)
        paint(values, cylinder(own, (0, -87), (9, 8)), 25.0, _EDGE_MM)
        paint(values, np.maximum(cylinder(own, (0, -106), (4, 9)), disc), 330.0, _EDGE_MM)
        row = np.abs((own[2] - 0.55 * own[1]) % 30 - 15)
        rib = np.hypot((_body_distance(own) + 20) / 4.5, row / 6.5) * 5 - 5
        rib = np.where(own[2] > -45 + 0.3 * own[1], rib, 9.0)
        paint(values, rib, 330.0, _EDGE_MM)
        paint(values, rib + 2.5, 160.0, _EDGE_MM)

    def _organs(self, values: AnyArray, own: AnyArray) -> None:
        self._bowels(values, own)
        tissue = self._contrast + 2.5 * self._texture.at(own)
        kidney = pair(own, (60, -48, -48), (27, 25, 46))
        paint(values, kidney, 185.0 + tissue, _EDGE_MM)
        paint(values, kidney + 9, 140.0 + tissue, 4.0)
        paint(values, kidney + 17, -40.0, 5.0)
        paint(values, ellipsoid(own, (-6, 14, -6), (48, 9, 10)), 96.0 + tissue, _EDGE_MM)
        paint(values, ellipsoid(own, (-98, -40, 30), (27, 42, 44)), 122.0 + tissue, _EDGE_MM)
        paint(values, _liver_distance(own), _LIVER + tissue, _EDGE_MM)
        paint(values, ellipsoid(own, (44, 42, -18), (13, 17, 22)), 10.0, _EDGE_MM)
        self._vessels(values, own)
        back = np.minimum(pair(own, (36, -84, 0), (36, 22, 900)), cylinder(own, (0, -76), (26, 42)))
        lung = np.maximum(np.maximum(_body_distance(own) + 29, _diaphragm_mm(own) - own[2]), -back)
        paint(values, lung, _LUNG + 25 * self._texture.at(own), 3.0)
        heart = np.maximum(ellipsoid(own, (-12, 26, 92), (56, 44, 36)), _diaphragm_mm(own) - own[2])
        paint(values, heart, 118.0 + tissue, 3.0)

    def _bowels(self, values: AnyArray, own: AnyArray) -> None:
        stomach = ellipsoid(own, (-58, 32, 26), (40, 36, 36))
        paint(values, stomach, 62.0, _EDGE_MM)
        paint(values, stomach + 4, 22.0, _EDGE_MM)
        paint(values, np.maximum(stomach + 4, 50 - own[1]), -940.0, _EDGE_MM)
        for (x, y, z), move in zip(_BOWEL, self._bowel_shift):
            loop = ellipsoid(own, (x + move[0], y + move[1], z + move[2]), (24, 17, 19))
            paint(values, loop, 58.0, _EDGE_MM)
            paint(values, loop + 3.5, 16.0, _EDGE_MM)

    def _vessels(self, values: AnyArray, own: AnyArray) -> None:
        blood = _BLOOD + self._contrast
        paint(values, cylinder(own, (-10, -30), (10, 10)), blood + 12, _EDGE_MM)
        paint(values, cylinder(own, (20, -29), (12, 9)), blood, _EDGE_MM)
        for number, (start, end, radii) in enumerate(_PORTAL):
            x, y, z = np.array(end) + self._vessel_shift[number]
            joint = start
            if start != _PORTAL[0][0] and start[2] != 56.0:
                moved = np.array(start) + self._vessel_shift[0]
                joint = (float(moved[0]), float(moved[1]), float(moved[2]))
            paint(values, tube(own, joint, (float(x), float(y), float(z)), radii), blood, _EDGE_MM)

    def _draw_lesions(self, rng: np.random.Generator, count: int) -> list[Lesion]:
        lesions: list[Lesion] = []
        for number in range(count):
            diameter = float(rng.uniform(*_LESION_MM))
            kind, value = _KINDS[(self._seed + number) % len(_KINDS)]

            def fits(ball: AnyArray, diameter: float = diameter) -> bool:
                own = self._own(ball)
                away = ellipsoid(own, (44, 42, -18), (13, 17, 22)).min() > 3 and (_diaphragm_mm(own) > own[2]).all()
                return bool(_liver_distance(own).max() < -3 and away and apart(ball[:, 0], diameter, lesions, 10.0))

            center = place(rng, _LESION_BOX, diameter, fits)
            if center is not None:
                lesions.append(draw_lesion(rng, center, diameter, kind, value))
        return lesions


def _body_distance(own: AnyArray) -> AnyArray:
    x, y = np.abs(own[0] / 168.0), np.abs(own[1] / 122.0)
    level = np.power(np.power(x, 2.4) + np.power(y, 2.4), 1 / 2.4)
    return np.asarray((level - 1) * 138.0)


def _diaphragm_mm(own: AnyArray) -> AnyArray:
    """Return the height of the diaphragm: two domes, the right one higher."""
    right = 34 * np.exp(-(((own[0] - 68) / 62) ** 2) - ((own[1] - 4) / 66) ** 2)
    left = 26 * np.exp(-(((own[0] + 70) / 55) ** 2) - ((own[1] - 4) / 66) ** 2)
    middle = 30 * np.exp(-((own[0] / 40) ** 2) - ((own[1] + 10) / 90) ** 2)
    return np.asarray(40 + np.maximum(np.maximum(right, left), middle) - 0.003 * (own[1] - 10) ** 2)


def _liver_distance(own: AnyArray) -> AnyArray:
    right = ellipsoid(own, (76, -4, 6), (64, 78, 74))
    left = ellipsoid(own, (14, 44, 32), (66, 28, 30))
    hollow = ellipsoid(own, (20, -14, -30), (36, 40, 60))
    smooth = -8 * np.log(np.exp(-right / 8) + np.exp(-left / 8))
    return np.asarray(np.maximum(np.maximum(smooth, -hollow), _body_distance(own) + 30))
