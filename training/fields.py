"""Random fields on the image grid: the brushes that everything else is drawn with."""

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE_PX = 256
Field = NDArray[np.float32]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
ROWS, COLUMNS = np.mgrid[0:SIDE_PX, 0:SIDE_PX].astype(np.float32)


def noise(rng: np.random.Generator, scale_px: float, octaves: int = 1) -> Field:
    """Draw smooth noise of unit variance whose coarsest features are `scale_px` wide; (S, S)."""
    total = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    amplitude, power = 1.0, 0.0
    for _ in range(octaves):
        knots = max(2, round(SIDE_PX / scale_px)) + 2
        grid = rng.standard_normal((knots, knots)).astype(np.float32)
        total += amplitude * cv2.resize(grid, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC)
        power += amplitude**2
        amplitude, scale_px = amplitude / 2, max(1.5, scale_px / 2)
    return total / np.float32(np.sqrt(power))


def curve(rng: np.random.Generator, knots: int) -> Field:
    """Draw a smooth curve over the columns, of unit variance at its knots; (S,)."""
    grid = rng.standard_normal((1, knots)).astype(np.float32)
    return cv2.resize(grid, (SIDE_PX, 1), interpolation=cv2.INTER_CUBIC)[0]


def blob(
    rng: np.random.Generator,
    center_xy: tuple[float, float],
    radius_px: float,
    aspect: float = 1.0,
    rough: float = 0.15,
) -> Field:
    """Draw a star-shaped blob as a signed field in about pixels, positive inside; (S, S)."""
    turn = rng.uniform(0, np.pi)
    to_x, to_y = COLUMNS - np.float32(center_xy[0]), ROWS - np.float32(center_xy[1])
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = (cos * to_x + sin * to_y) / np.float32(aspect), (cos * to_y - sin * to_x) * np.float32(aspect)
    angle = np.arctan2(across, along)
    edge = np.full_like(angle, radius_px)
    for order in range(1, 7):
        swing = radius_px * rough * rng.standard_normal() / order**0.7
        edge += np.float32(swing) * np.cos(order * angle + np.float32(rng.uniform(0, 2 * np.pi)))
    return edge - np.hypot(along, across)


def blur(image: Field, sigma_px: float) -> Field:
    """Blur with a Gaussian; (S, S)."""
    return cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma_px)


def large_parts(mask: Mask, least_share: float, least_px: int = 12) -> Mask:
    """Keep the connected parts of at least `least_share` of the largest one and `least_px` pixels."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    if count < 2:
        return np.zeros_like(mask)
    areas = stats[:, cv2.CC_STAT_AREA]
    is_kept = areas >= max(least_px, least_share * areas[1:].max())
    is_kept[0] = False
    return is_kept[parts]
