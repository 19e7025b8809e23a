"""A macula as OCT shows it: B-scans through the layers; lesions are lenses of fluid or of bright material."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, BoolArray, ByteArray, DoubleArray
from .grid import Grid
from .shapes import Point, Waves, white_noise

GRID = Grid.centered((17, 192, 224), (0.027, 0.0085, 0.35))

_LAYERS = (  # thickness in mm away from the fovea, share of it left in the foveal pit, brightness
    (0.036, 0.06, 0.66),  # nerve fiber layer
    (0.084, 0.10, 0.44),  # ganglion cells and inner plexiform
    (0.040, 0.15, 0.27),  # inner nuclear
    (0.030, 0.30, 0.41),  # outer plexiform
    (0.082, 1.20, 0.21),  # outer nuclear
    (0.008, 1.00, 0.50),  # external limiting membrane
    (0.022, 1.10, 0.30),  # inner segments
    (0.020, 1.00, 0.72),  # ellipsoid zone
    (0.018, 1.10, 0.46),  # outer segments
    (0.024, 1.00, 0.86),  # pigment epithelium
)
_N_LAYERS = len(_LAYERS)
_VITREOUS, _CHOROID = 0.045, 0.47
_PIT_MM = 0.45
_EDGE_MM = 0.006
_REACH_MM, _GAP_MM, _TRIES = 1.8, 0.3, 200

Point2 = tuple[float, float]
LensKind = tuple[str, int, float, Point2, float]

_KINDS = (  # words, layer above which it lies, brightness, height mm, lift
    ("dark intraretinal cyst", 3, 0.05, (0.08, 0.15), 0.45),
    ("dark subretinal fluid", 9, 0.05, (0.07, 0.14), 1.0),
    ("bright deposit", 9, 0.78, (0.06, 0.12), 0.9),
    ("dark intraretinal cyst", 4, 0.06, (0.08, 0.14), 0.5),
)


@dataclass(frozen=True)
class Lens:
    """A lens-shaped lesion that pushes the layers above it up.

    Attributes:
        center: mm; its middle in the body's frame.
        diameter_mm: its width.
        kind, value: in words; brightness.
        layer: it lies on top of this layer.
        height_mm: its thickness in the middle.
        radii_mm: half widths along x and z (across B-scans).
        lift: share of its thickness that pushes the layers above up; the rest displaces tissue below.
    """

    center: Point
    diameter_mm: float
    kind: str
    value: float
    layer: int
    height_mm: float
    radii_mm: Point2
    lift: float

    def thickness(self, points: AnyArray) -> AnyArray:
        """Return the thickness (N,) in mm over each point's place on the retina."""
        x = (points[0] - self.center[0]) / self.radii_mm[0]
        z = (points[2] - self.center[2]) / self.radii_mm[1]
        return np.asarray(self.height_mm * np.clip(1 - x**2 - z**2, 0, None) ** 0.8)


class Retina:
    """One eye; `seed` varies its curvature, thickness, vessels, choroid and speckle a little."""

    modality = "oct"

    def __init__(self, seed: int, n_lesions: int) -> None:
        rng = np.random.default_rng([seed, 31])
        self._seed = seed
        self._thickness = rng.normal(1, 0.025, _N_LAYERS)
        self._curve = rng.normal(0.011, 0.0025, 2)
        self._tilt = rng.normal(0, 0.012, 2)
        self._height = 0.16 + rng.normal(0, 0.02)
        self._pit = rng.normal(0, 0.08, 2)
        self._waviness = Waves.draw(rng, 4, (1.2, 4.0))
        self._vessels = rng.uniform(-2.9, 2.9, (7, 3)) * np.array([1, 0.12, 1])
        self._choroid = Waves.draw(rng, 18, (0.09, 0.30))
        self._fine = Waves.draw(rng, 12, (0.03, 0.09))
        self.lesions: list[Lens] = []
        self._draw_lenses(np.random.default_rng([seed, 32]), n_lesions)

    def signal(self, points: AnyArray) -> AnyArray:
        """Return 8-bit brightness (N,) with speckle."""
        depth, lens_number = self._tissue_depth(points)
        bounds = self._bounds(points)
        values = np.full(points.shape[1], _VITREOUS)
        levels = [layer[2] for layer in _LAYERS] + [0.0]
        for number, level in enumerate(levels):
            brightness = level if number < _N_LAYERS else self._choroid_at(points, depth - bounds[number])
            values += np.clip(0.5 + (depth - bounds[number]) / _EDGE_MM, 0, 1) * (brightness - values)
        values *= 1 - 0.42 * self._shadow(points) * np.clip((depth - bounds[1]) / 0.02, 0, 1)
        lens_values = np.array([0.0, *(lens.value for lens in self.lesions)])
        values = np.where(lens_number > 0, lens_values[lens_number], values)
        values *= 1 + 0.10 * self._fine.at(points, (0.6, 1.0, 0.2))
        speckle = np.exp(0.26 * white_noise(points, self._seed))
        values = values * speckle + 0.016 * np.abs(white_noise(points, self._seed + 10**6))
        return np.asarray(np.round(255 * np.clip(values, 0, 1)))

    def foreground(self, points: AnyArray) -> BoolArray:
        """Return where the retina is, from its inner surface to the pigment epithelium."""
        depth, lens_number = self._tissue_depth(points)
        bounds = self._bounds(points)
        return np.asarray(((depth > bounds[0]) & (depth < bounds[-1])) | (lens_number > 0))

    def labels(self, points: AnyArray) -> ByteArray:
        """Return the number (N,) of the lesion each point lies in, 0 = none."""
        return self._tissue_depth(points)[1]

    def _bounds(self, points: AnyArray) -> AnyArray:
        """Return the depths (11, N) in mm of the layers' upper surfaces below the inner surface."""
        x, z = points[0] - self._pit[0], points[2] - self._pit[1]
        pit = np.exp(-((x**2 + z**2) / _PIT_MM**2) / 2)
        bounds = np.zeros((_N_LAYERS + 1, points.shape[1]))
        for number, (thickness, left, _) in enumerate(_LAYERS):
            share = 1 + (left - 1) * pit
            bounds[number + 1] = bounds[number] + thickness * self._thickness[number] * share
        return bounds

    def _epithelium_mm(self, points: AnyArray) -> AnyArray:
        """Return how far the pigment epithelium's lower surface lies behind the body's middle, in mm."""
        x, z = points[0], points[2]
        bowl = self._curve[0] * x**2 + self._curve[1] * z**2 + self._tilt[0] * x + self._tilt[1] * z
        return np.asarray(self._height - bowl + 0.004 * self._waviness.at(points, (1.0, 0.0, 1.0)))

    def _tissue_depth(self, points: AnyArray) -> tuple[DoubleArray, ByteArray]:
        """Return each point's depth in the eye without lesions, and the number of the lens it lies in (0 = none)."""
        bounds = self._bounds(points)
        depth = bounds[-1] - (self._epithelium_mm(points) + points[1])
        number_of = np.zeros(points.shape[1], np.uint8)
        for number, lens in enumerate(self.lesions, 1):
            thick = lens.thickness(points)
            split = bounds[lens.layer]
            top, bottom = split - lens.lift * thick, split + (1 - lens.lift) * thick
            number_of[(depth > top) & (depth < bottom)] = number
            depth = np.where(depth <= top, depth + lens.lift * thick, depth)
        return depth, number_of

    def _choroid_at(self, points: AnyArray, below: AnyArray) -> AnyArray:
        vessels = np.clip(self._choroid.at(points, (0.9, 1.0, 0.35)), -1.2, 1.2)
        sclera = 0.28 * np.exp(-np.clip(below - 0.30, 0, None) / 0.25)
        inner = _CHOROID * (1 + 0.30 * vessels) * np.exp(-np.clip(below, 0, None) / 0.34)
        return np.asarray(np.where(below < 0.26, inner, np.minimum(inner + 0.12, sclera)))

    def _shadow(self, points: AnyArray) -> AnyArray:
        """Return the shade (N,) in [0, 1] that retinal vessels throw on what lies below."""
        shade = np.zeros(points.shape[1])
        for x, slope, width in self._vessels:
            away = np.abs(points[0] - x - slope * points[2]) / (0.035 + 0.01 * abs(width))
            shade = np.maximum(shade, np.exp(-(away**2)) * np.clip(np.abs(points[0]) - 0.5, 0, 1))
        return shade

    def _draw_lenses(self, rng: np.random.Generator, count: int) -> None:
        for number in range(count):
            width = float(rng.uniform(0.8, 1.7))
            spot = self._free_spot(rng, width)
            if spot is not None:
                self.lesions.append(self._lens(rng, spot, width, _KINDS[(self._seed + number) % len(_KINDS)]))

    def _free_spot(self, rng: np.random.Generator, width: float) -> Point2 | None:
        for _ in range(_TRIES):
            x, z = (float(value) for value in rng.uniform(-_REACH_MM, _REACH_MM, 2))
            gaps = [np.hypot(x - o.center[0], z - o.center[2]) - (width + o.diameter_mm) / 2 for o in self.lesions]
            if all(gap > _GAP_MM for gap in gaps):
                return x, z
        return None

    def _lens(self, rng: np.random.Generator, spot: Point2, width: float, kind: LensKind) -> Lens:
        words, layer, value, heights, lift = kind
        x, z = spot
        height = float(rng.uniform(*heights))
        place = np.array([[x], [0.0], [z]])
        bounds = self._bounds(place)
        behind = float(self._epithelium_mm(place)[0] - (bounds[-1] - bounds[layer])[0])
        center = (round(x, 3), round(height * (lift - 0.5) - behind, 4), round(z, 3))
        radii = (width / 2, width / 2 * float(rng.uniform(0.9, 1.3)))
        return Lens(center, width, words, value, layer, height, radii, lift)
