"""Lesion-like objects: their shape, and how they change the tissue they grow in."""

from dataclasses import dataclass

import numpy as np

from training.anatomy import Anatomy
from training.fields import Field, Labels, Mask, blob, blur, large_parts, noise


@dataclass(frozen=True)
class LesionStyle:
    """How lesions are drawn.

    Attributes:
        large_chance: chance that a lesion is large (22 to 60 px), whatever the anatomy suggests.
        fuzzy_chance: chance of a wide soft border.
        fuzzy_px: widths of that border, in px.
        core_chance: chance of a core or ring, when the lesion has room for one.
        satellite_chance: chance that separate parts nearby belong to the same lesion.
        cavity_chance: chance that a core is a dark cavity rather than a milder or stronger change.
    """

    large_chance: float = 0.28
    fuzzy_chance: float = 0.35
    fuzzy_px: tuple[float, float] = (2.0, 7.0)
    core_chance: float = 0.55
    satellite_chance: float = 0.2
    cavity_chance: float = 0.35


HARD_STYLE = LesionStyle(0.0, 0.25, (2.0, 5.0), 0.35, 0.0, 0.0)
WIDE_STYLE = LesionStyle()


def add_lesions(rng: np.random.Generator, image: Field, anatomy: Anatomy, style: LesionStyle) -> tuple[Field, Labels]:
    """Grow lesions in the host tissue; return the changed image and their labels 1, 2, ... (S, S)."""
    labels = np.zeros(image.shape, np.uint8)
    rows, columns = np.nonzero(anatomy.host)
    if len(rows) < 200:
        return image, labels
    for index in range(_count(rng, anatomy)):
        place = int(rng.integers(len(rows)))
        center = int(columns[place]), int(rows[place])
        radius = anatomy.lesion_radius_px * rng.uniform(*((0.5, 1.3) if index == 0 else (0.25, 1.0)))
        if rng.random() < style.large_chance:
            radius = rng.uniform(22, 60)
        shape = draw_shape(rng, center, max(3.0, radius), style)
        mask = _fit(rng, shape > 0, anatomy, center) & (labels == 0)
        if mask.sum() >= 12:
            labels[mask] = labels.max() + 1
            image = paint(rng, image, shape, mask, _Paint.draw(rng, anatomy.polarity, style))
    return image, labels


def _count(rng: np.random.Generator, anatomy: Anatomy) -> int:
    """Draw how many lesions there are."""
    if anatomy.kind == "retina" and rng.random() < 0.5:
        return int(rng.integers(2, 9))
    return int(rng.integers(1, 4)) if rng.random() < 0.85 else 0


def draw_shape(rng: np.random.Generator, center_xy: tuple[int, int], radius: float, style: LesionStyle) -> Field:
    """Draw a lesion as a signed field: a blob, perhaps fingered, lobed, or with satellites."""
    aspect = float(np.clip(rng.lognormal(0, 0.22), 0.6, 1.6))
    shape = blob(rng, center_xy, radius, aspect, rng.uniform(0.05, 0.25))
    if rng.random() < 0.4:
        shape = shape + noise(rng, max(4, radius * rng.uniform(0.3, 1)), 3) * np.float32(
            radius * rng.uniform(0.15, 0.5)
        )
    if radius > 6 and rng.random() < 0.15:
        for _ in range(int(rng.integers(1, 4))):
            place = np.array(center_xy) + rng.normal(0, radius * 0.8, 2)
            shape = np.maximum(shape, blob(rng, (place[0], place[1]), radius * rng.uniform(0.4, 0.9)))
    if radius > 8 and rng.random() < style.satellite_chance:
        for _ in range(int(rng.integers(1, 4))):
            turn, away = rng.uniform(0, 2 * np.pi), radius * rng.uniform(1.2, 1.8)
            place = center_xy[0] + away * np.cos(turn), center_xy[1] + away * np.sin(turn)
            shape = np.maximum(shape, blob(rng, place, radius * rng.uniform(0.2, 0.5)))
    return shape


def _fit(rng: np.random.Generator, mask: Mask, anatomy: Anatomy, center_xy: tuple[int, int]) -> Mask:
    """Cut a lesion to its host, perhaps leaving out the hollows or keeping to one tissue; drop crumbs."""
    mask = mask & anatomy.host
    if anatomy.kind == "brain":
        if rng.random() < 0.5:
            mask &= ~anatomy.hollow
        if rng.random() < 0.3 and anatomy.region[center_xy[1], center_xy[0]] == 2:
            mask &= anatomy.region == 2
    return large_parts(mask, 0.06)


@dataclass(frozen=True)
class _Paint:
    """How one lesion looks: grey change, border width, how much anatomy it hides, and its core."""

    change: float
    border_px: float
    hides: float
    grain: float
    has_core: bool
    is_cavity: bool

    @classmethod
    def draw(cls, rng: np.random.Generator, polarity: int, style: LesionStyle) -> "_Paint":
        sign = polarity or int(rng.choice([-1, 1]))
        is_fuzzy = rng.random() < style.fuzzy_chance
        return cls(
            change=sign * float(np.clip(rng.lognormal(np.log(0.25), 0.5), 0.07, 0.8)),
            border_px=float(rng.uniform(*(style.fuzzy_px if is_fuzzy else (0.3, 2.5)))),
            hides=float(rng.uniform(0, 1)) if rng.random() < 0.7 else 1.0,
            grain=float(rng.uniform(0, 0.12)),
            has_core=bool(rng.random() < style.core_chance),
            is_cavity=bool(style.cavity_chance and rng.random() < style.cavity_chance),
        )


def paint(rng: np.random.Generator, image: Field, shape: Field, mask: Mask, look: _Paint) -> Field:
    """Blend a lesion into the image through a soft border; return the new image (S, S)."""
    mean, change = float(image[mask].mean()), look.change
    if mean + change < 0:
        change = max(-0.9 * mean, change) if mean > 0.12 else -change
    inside = (mean + change) * look.hides + (image + change) * (1 - look.hides)
    inside = inside + look.grain * noise(rng, rng.uniform(3, 20), 2)
    if look.has_core and np.sqrt(mask.sum() / np.pi) > 7:
        inside = _add_cavity(rng, inside, shape, mask) if look.is_cavity else inside + _core(rng, shape, mask, change)
    border = min(look.border_px, 0.35 * float(np.sqrt(mask.sum() / np.pi)))
    alpha = blur(mask.astype(np.float32), max(0.3, border))
    return (image * (1 - alpha) + inside * alpha).astype(np.float32)


def _core(rng: np.random.Generator, shape: Field, mask: Mask, change: float) -> Field:
    """Draw the change of a core, perhaps with a bright rim; (S, S)."""
    depth = _depth(rng, shape, mask, off_center_chance=0.4)
    cut = np.float32(rng.uniform(0.25, 0.7))
    core = blur((depth > cut).astype(np.float32), rng.uniform(0.5, 2))
    core = core * np.float32(rng.uniform(-1.3, 0.7) * change)
    if rng.random() < 0.4:
        width = np.float32(rng.uniform(0.03, 0.15))
        core = core + np.exp(-(((depth - cut) / width) ** 2)) * np.float32(abs(change) * rng.uniform(0.2, 1))
    return core.astype(np.float32)


def _add_cavity(rng: np.random.Generator, inside: Field, shape: Field, mask: Mask) -> Field:
    """Hollow a lesion out: a core as dark as fluid, or for dark lesions as bright as blood; (S, S)."""
    depth = _depth(rng, shape, mask, off_center_chance=0.5)
    core = blur((depth > rng.uniform(0.1, 0.6)).astype(np.float32), rng.uniform(0.5, 2.5))
    tone = rng.uniform(0, 0.6) * float(inside[mask].mean())
    if rng.random() < 0.15:
        tone = rng.uniform(0.6, 1.0)
    return (inside * (1 - core) + tone * core).astype(np.float32)


def _depth(rng: np.random.Generator, shape: Field, mask: Mask, off_center_chance: float) -> Field:
    """Return how deep inside a core a pixel lies, 1 at its deepest; central, or off to a side; (S, S)."""
    if rng.random() >= off_center_chance:
        return (shape / max(float(shape.max()), 1.0)).astype(np.float32)
    rows, columns = np.nonzero(mask)
    place = int(rng.integers(len(rows)))
    radius = float(np.sqrt(mask.sum() / np.pi)) * rng.uniform(0.3, 0.7)
    return blob(rng, (columns[place], rows[place]), radius) / np.float32(radius) + np.float32(0.3)
