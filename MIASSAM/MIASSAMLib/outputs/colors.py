"""The heat color table: made by a formula, ordered by lightness, so that print and color-blind eyes keep the order."""

from __future__ import annotations

from functools import cache

import numpy as np

from ..arrays import AnyArray, ByteArray, FloatArray

_START, _TURNS, _HUE = 0.04, 0.46, 1.9
_DARKEST, _LIGHTEST = 0.10, 0.92
_OPAQUE = 0.72
_STEPS = 256

LESION_COLORS: tuple[tuple[int, int, int], ...] = (
    (60, 235, 255),
    (120, 255, 120),
    (255, 130, 255),
    (130, 160, 255),
    (255, 255, 255),
)
"""Outlines: hues the heat table does not use."""


@cache
def heat_table() -> ByteArray:
    """Return RGB uint8 (256, 3) from dark violet over red to pale yellow.

    Cubehelix (D. A. Green, 2011, Bull. Astr. Soc. India 39, 289): the perceived lightness rises evenly.
    """
    lightness = np.linspace(_DARKEST, _LIGHTEST, _STEPS)
    angle = 2 * np.pi * (_START + _TURNS * lightness)
    swing = _HUE * lightness * (1 - lightness) / 2
    around = np.stack([np.cos(angle), np.sin(angle)])
    weights = np.array([[-0.14861, 1.78277], [-0.29227, -0.90649], [1.97294, 0.0]])
    rgb = lightness + swing * (weights @ around)
    return np.asarray(np.round(255 * np.clip(rgb.T, 0, 1)), np.uint8)


def heat_rgb(share: AnyArray) -> ByteArray:
    """Return RGB uint8 (..., 3) of shares in [0, 1]."""
    index = np.clip(np.asarray(share) * (_STEPS - 1), 0, _STEPS - 1).round().astype(int)
    return np.asarray(heat_table()[index])


def overlay(grey: FloatArray, share: FloatArray) -> ByteArray:
    """Lay heat over a grey picture (H, W) in [0, 1]: nothing where the share is 0, strong where it is 1."""
    opacity = (_OPAQUE * np.clip(share, 0, 1) ** 0.8)[..., None]
    base = np.repeat(255.0 * np.clip(grey, 0, 1)[..., None], 3, axis=2)
    return np.asarray((1 - opacity) * base + opacity * heat_rgb(share)).round().astype(np.uint8)
