"""Invented anatomies: nested labels and a tone for each region, before lesions and noise.

None is a copy of a real organ; each borrows a principle: a folded rim with hollows (brain), stacked bands (retina),
organs in a body wall (abdomen), a mosaic, and level sets of noise.
"""

from dataclasses import dataclass, field

import numpy as np

from training.fields import COLUMNS, ROWS, SIDE_PX, Field, Labels, Mask, blob, curve, noise


@dataclass
class Anatomy:
    """What is drawn where.

    Attributes:
        organ: coarse labels (S, S), 0 outside.
        region: fine labels (S, S), 0 outside.
        tones: grey value of each region label.
        host: where lesions may grow (S, S).
        lesion_radius_px: typical radius of a lesion here.
        polarity: +1 bright lesions, -1 dark, 0 mixed.
        kind: name of the anatomy.
        hollow: fluid spaces that a lesion may have to leave out (S, S).
        has_vessels: whether fine lines cross the host.
    """

    organ: Labels
    region: Labels
    tones: dict[int, float]
    host: Mask
    lesion_radius_px: float
    polarity: int
    kind: str
    hollow: Mask = field(default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX), bool))
    has_vessels: bool = False


def _either(rng: np.random.Generator, chance: float, first: tuple[float, float], second: tuple[float, float]) -> float:
    """Draw from the first range with the given chance, else from the second."""
    return float(rng.uniform(*(first if rng.random() < chance else second)))


def _polarity(rng: np.random.Generator, preferred: int, chance: float) -> int:
    """Return the preferred polarity with the given chance, else any of -1, 0, 1."""
    if rng.random() < chance:
        return preferred
    return int(rng.choice([-1, 1])) if rng.random() < 0.7 else 0


def draw_brain(rng: np.random.Generator) -> Anatomy:
    """Draw a head: perhaps skull, folded rim, inner matter, hollows, paired nuclei and a midline."""
    center = 128 + rng.uniform(-12, 12, 2)
    radius = float(rng.uniform(60, 105))
    head = blob(rng, (center[0], center[1]), radius, float(np.sqrt(rng.uniform(0.8, 1.25))), 0.02)
    region = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    tones: dict[int, float] = {}
    inner = head
    if rng.random() < 0.35:
        scalp, skull = rng.uniform(3, 8), rng.uniform(4, 9)
        region[head > 0], region[head > scalp] = 40, 41
        tones.update({40: rng.uniform(0.4, 1.0), 41: rng.uniform(0, 0.15)})
        inner = head - np.float32(scalp + skull)
    brain = inner > 0
    organ = np.where(brain, 1, np.where(head > 0, 2, 0)).astype(np.uint8)
    base = rng.uniform(0.25, 0.75)
    fluid = rng.choice([rng.uniform(0, 0.2), rng.uniform(0.2, 1)])
    tones.update({1: base, 2: base * rng.uniform(0.65, 1.35), 3: fluid, 4: fluid * rng.uniform(0.7, 1.3)})
    tones[5] = base * rng.uniform(0.7, 1.3)
    _fold(rng, region, inner)
    _add_pairs(rng, region, brain, (center[0], center[1]), radius)
    size = _either(rng, 0.7, (8, 45), (4, 12))
    hollow = np.isin(region, (3, 4))
    return Anatomy(organ, region, tones, brain, size, _polarity(rng, 1, 0.65), "brain", hollow)


def _fold(rng: np.random.Generator, region: Labels, inner: Field) -> None:
    """Fold the rim (label 1) into the inner matter (2), perhaps with fluid in the folds (3)."""
    brain = inner > 0
    folds = noise(rng, rng.uniform(14, 30), 2)
    if rng.random() < 0.5:
        folds = (folds + folds[:, ::-1]) / np.float32(1.4)
    depth = np.float32(rng.uniform(6, 16))
    region[brain] = 1
    region[brain & (inner + folds * depth * np.float32(0.9) > depth)] = 2
    if rng.random() < 0.5:
        lines = np.abs(noise(rng, rng.uniform(10, 20), 2)) < rng.uniform(0.03, 0.15)
        region[lines & brain & (inner < rng.uniform(8, 30))] = 3


def _add_pairs(
    rng: np.random.Generator, region: Labels, brain: Mask, center_xy: tuple[float, float], radius: float
) -> None:
    """Add hollows (4) and nuclei (5) on both sides, and a midline (3)."""
    x, y = center_xy
    has_hollows, has_nuclei = rng.random() < 0.75, rng.random() < 0.6
    for side in (-1, 1):
        if has_hollows:
            place = x + side * radius * rng.uniform(0.08, 0.2), y + rng.uniform(-0.15, 0.15) * radius
            shape = blob(rng, place, radius * rng.uniform(0.08, 0.17), rng.uniform(0.6, 1.5), 0.2)
            region[(shape > 0) & brain] = 4
    for side in (-1, 1):
        if has_nuclei:
            place = x + side * radius * 0.35, y + rng.uniform(-0.1, 0.25) * radius
            shape = blob(rng, place, radius * rng.uniform(0.1, 0.22), rng.uniform(0.6, 1.5), 0.15)
            region[(shape > 0) & brain & (region != 4)] = 5
    if rng.random() < 0.5:
        bend = COLUMNS - np.float32(x) - (ROWS - np.float32(y)) * np.float32(rng.uniform(-0.1, 0.1))
        region[(np.abs(bend + 2 * noise(rng, 60)) < rng.uniform(0.6, 2)) & brain] = 3


def draw_retina(rng: np.random.Generator) -> Anatomy:
    """Draw stacked bands under a curved surface."""
    surface = np.float32(rng.uniform(50, 130)) + np.float32(rng.uniform(3, 22)) * curve(rng, int(rng.integers(3, 6)))
    columns = COLUMNS[0]
    if rng.random() < 0.4:
        place, depth, width = rng.uniform(60, 200), rng.uniform(8, 30), rng.uniform(15, 45)
        surface = surface + depth * np.exp(-(((columns - place) / width) ** 2))
    if rng.random() < 0.5:
        surface = surface + (columns - 128) * rng.uniform(-0.3, 0.3)
    region = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    tones: dict[int, float] = {30: rng.uniform(0.05, 0.5)}
    edge = surface.copy()
    for band in range(1, int(rng.integers(4, 9)) + 1):
        below = edge + np.maximum(2, _either(rng, 0.8, (4, 20), (15, 40)) * (1 + 0.25 * curve(rng, 7)))
        region[(edge <= ROWS) & (below > ROWS)] = band
        tones[band] = rng.uniform(0.15, 0.7) if band % 2 else rng.uniform(0.2, 1.0)
        edge = below
    host = (surface <= ROWS) & (edge > ROWS)
    region[edge <= ROWS] = 30
    organ = np.where(host, 1, np.where(edge <= ROWS, 2, 0)).astype(np.uint8)
    size = _either(rng, 0.7, (4, 18), (10, 35))
    return Anatomy(organ, region, tones, host, size, _polarity(rng, -1, 0.75), "retina")


def draw_abdomen(rng: np.random.Generator) -> Anatomy:
    """Draw a body with a fatty rim, one large organ, smaller ones, vessels and bones."""
    center = 128 + rng.uniform(-10, 10, 2)
    shape = blob(rng, (center[0], center[1]), rng.uniform(90, 150), rng.uniform(0.8, 1.3), 0.03)
    body = shape > 0
    fat = body & (shape < rng.uniform(3, 20))
    tissue = rng.uniform(0.25, 0.6)
    tones: dict[int, float] = {20: tissue, 21: tissue * rng.uniform(0.4, 0.9)}
    organ = np.where(body, 20, 0).astype(np.uint8)
    region = np.where(fat, 21, organ).astype(np.uint8)
    largest = np.zeros_like(body)
    for label in range(1, int(rng.integers(3, 9)) + 1):
        radius = rng.uniform(28, 65) if label == 1 else rng.uniform(8, 38)
        part = blob(rng, tuple(rng.uniform(50, 206, 2)), radius, rng.uniform(0.6, 1.6), 0.13)
        inside = (part > 0) & body & ~fat
        if label == 1:
            largest = inside
        elif rng.random() < 0.8:
            inside &= ~largest
        organ[inside] = region[inside] = label
        shift = rng.choice([rng.uniform(-0.25, 0.3), rng.uniform(-0.12, 0.15)])
        tones[label] = float(np.clip(tissue + shift, 0.02, 1))
        if label > 1 and rng.random() < 0.3:
            region[(part > rng.uniform(3, 0.4 * radius + 3)) & inside] = 50 + label
            tones[50 + label] = rng.uniform(0.05, 1)
    for label in range(70, 70 + int(rng.integers(0, 6))):
        part = blob(rng, tuple(rng.uniform(30, 226, 2)), rng.uniform(3, 10), rng.uniform(0.6, 1.6), 0.1)
        inside = (part > 0) & body
        region[inside], tones[label] = label, rng.uniform(0.5, 1.0)
        organ[inside & (organ != 1)] = label
    vessels = bool(rng.random() < 0.5)
    polarity = _polarity(rng, -1, 0.6)
    return Anatomy(organ, region, tones, organ == 1, rng.uniform(4, 28), polarity, "abdomen", has_vessels=vessels)


def draw_mosaic(rng: np.random.Generator) -> Anatomy:
    """Draw wavy cells grouped into organs."""
    count = int(rng.integers(4, 22))
    wave = np.float32(rng.uniform(0, 15))
    x = COLUMNS + wave * noise(rng, rng.uniform(25, 90), 2)
    y = ROWS + wave * noise(rng, rng.uniform(25, 90), 2)
    seeds = rng.uniform(0, SIDE_PX, (count, 2)).astype(np.float32)
    region = np.stack([(x - px) ** 2 + (y - py) ** 2 for px, py in seeds]).argmin(0).astype(np.uint8) + 1
    group = rng.integers(1, max(2, count // 2), count + 1)
    organ = group[region].astype(np.uint8)
    tones = {label: rng.uniform(0.08, 0.95) for label in range(1, count + 1)}
    if rng.random() < 0.5:
        by_group = rng.uniform(0.1, 0.9, count + 1)
        tones = {k: float(np.clip(by_group[group[k]] + rng.normal(0, 0.1), 0.02, 1)) for k in tones}
    host = np.ones((SIDE_PX, SIDE_PX), bool)
    if rng.random() < 0.5:
        host = blob(rng, (128, 128), rng.uniform(70, 125), rng.uniform(0.8, 1.25), 0.06) > 0
        region[~host] = organ[~host] = 0
    return Anatomy(organ, region, tones, host, rng.uniform(4, 45), _polarity(rng, 1, 0.0), "mosaic")


def draw_levels(rng: np.random.Generator) -> Anatomy:
    """Draw level sets of noise inside a blob."""
    heights = noise(rng, rng.uniform(25, 110), 3)
    cuts = np.quantile(heights, np.sort(rng.uniform(0.1, 0.9, int(rng.integers(1, 5)))))
    region = (np.digitize(heights, cuts) + 1).astype(np.uint8)
    center = 128 + rng.uniform(-25, 25, 2)
    host = blob(rng, (center[0], center[1]), rng.uniform(50, 130), rng.uniform(0.7, 1.4), 0.12) > 0
    region[~host] = 0
    tones = {label: rng.uniform(0.1, 0.95) for label in range(1, 7)}
    return Anatomy(host.astype(np.uint8), region, tones, host, rng.uniform(4, 40), _polarity(rng, 1, 0.0), "levels")


ANATOMIES = (draw_brain, draw_retina, draw_abdomen, draw_mosaic, draw_levels)
VALIDATION_SHARES = (0.40, 0.22, 0.20, 0.10, 0.08)
TRAINING_SHARES = (0.50, 0.18, 0.18, 0.08, 0.06)


def draw_anatomy(rng: np.random.Generator, shares: tuple[float, ...]) -> Anatomy:
    """Draw one of the anatomies, in the given shares."""
    return ANATOMIES[int(rng.choice(len(ANATOMIES), p=shares))](rng)
