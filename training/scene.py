"""One procedural training image with its nested labels."""

from dataclasses import dataclass

import numpy as np

from training.anatomy import TRAINING_SHARES, VALIDATION_SHARES, Anatomy, draw_anatomy
from training.fields import SIDE_PX, Field, Labels, blur, noise
from training.lesions import HARD_STYLE, WIDE_STYLE, add_lesions


@dataclass(frozen=True)
class Scene:
    """An image and what is in it; all (S, S) uint8.

    Attributes:
        image: grey values over the full range, 0 the lowest.
        organ, region: coarse and fine anatomy, 0 outside.
        lesion: lesions 1, 2, ...; 0 elsewhere.
    """

    image: Labels
    organ: Labels
    region: Labels
    lesion: Labels

    def stacked(self) -> Labels:
        """Return the four layers as one array (4, S, S)."""
        return np.stack([self.image, self.organ, self.region, self.lesion])


def draw_scene(rng: np.random.Generator, is_hard: bool = False) -> Scene:
    """Draw a scene; `is_hard` keeps to the small, tightly windowed lesions that validation uses."""
    while True:
        scene = _draw_once(rng, is_hard)
        if scene.image.std() > 8:
            return scene


def _draw_once(rng: np.random.Generator, is_hard: bool) -> Scene:
    anatomy = draw_anatomy(rng, VALIDATION_SHARES if is_hard else TRAINING_SHARES)
    background = 0.0 if rng.random() < 0.6 else float(rng.uniform(0, 0.25))
    image = _fill(rng, anatomy, background)
    image, lesion = add_lesions(rng, image, anatomy, HARD_STYLE if is_hard else WIDE_STYLE)
    image = _acquire(rng, image, anatomy.kind)
    if anatomy.kind == "brain" and background == 0 and rng.random() < 0.8:
        image = np.where(anatomy.region > 0, image, 0)
    low, high = np.percentile(image, [0.5, 99.5] if is_hard else [0.2, 99.9])
    image = np.clip((image - low) / max(high - low, 1e-3), 0, 1)
    if is_hard:
        image = image ** np.exp(rng.normal(0, 0.25))
    return Scene((image * 255).astype(np.uint8), anatomy.organ, anatomy.region, lesion)


def _fill(rng: np.random.Generator, anatomy: Anatomy, background: float) -> Field:
    """Give each region its tone, a texture and perhaps vessels; (S, S)."""
    tones = np.full(256, background, np.float32)
    for label, tone in anatomy.tones.items():
        tones[label] = tone
    image = tones[anatomy.region]
    strength = np.float32(rng.uniform(0, 0.09))
    if rng.random() < 0.8:
        texture = noise(rng, rng.uniform(2, 5)) if rng.random() < 0.4 else noise(rng, rng.uniform(6, 40), 3)
        image = image + strength * texture * (anatomy.region > 0)
    if anatomy.has_vessels:
        lines = np.abs(noise(rng, rng.uniform(25, 50), 2)) < rng.uniform(0.02, 0.06)
        image[lines & anatomy.host] += np.float32(rng.uniform(-0.2, 0.25))
    return blur(image, rng.uniform(0.4, 1.8)) if rng.random() < 0.6 else image


def _acquire(rng: np.random.Generator, image: Field, kind: str) -> Field:
    """Degrade an image as scanners do: bias field, blur, and speckle, Rician or plain noise; (S, S)."""
    if rng.random() < 0.6:
        image = image * np.exp(noise(rng, rng.uniform(80, 250)) * np.float32(rng.uniform(0, 0.22)))
    if rng.random() < 0.6:
        image = blur(image, rng.uniform(0.4, 1.6))
    spread = (rng.uniform(0, 0.09) if rng.random() < 0.7 else 0.0) + 1e-5
    first, second = rng.standard_normal((2, SIDE_PX, SIDE_PX)).astype(np.float32)
    chance = rng.random()
    if kind == "retina" or chance < 0.15:
        speckle = blur(first, rng.uniform(0.4, 1.2)) * np.float32(1.7) if rng.random() < 0.7 else first
        return image * (1 + speckle * np.float32(rng.uniform(0.05, 0.4))) + second * np.float32(0.7 * spread)
    if chance < 0.55:
        return np.hypot(image + first * np.float32(spread), second * np.float32(spread))
    return image + first * np.float32(spread)
