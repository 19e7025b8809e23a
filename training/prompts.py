"""From a scene to training examples: augment it, choose what to ask for, and draw the first prompt."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from training.fields import SIDE_PX, Field, Labels, Mask

FRAME_PX = 1024
BOX_CHANCE, SECOND_CLICK_CHANCE = 0.12, 0.12
PAD, NEGATIVE, POSITIVE, BOX_FIRST, BOX_SECOND = -1, 0, 1, 2, 3


@dataclass(frozen=True)
class Asking:
    """What is asked for, and where it is clicked.

    Attributes:
        lesion_chance: chance that a lesion is asked for, where there is one.
        click_depths: (share, least): share of clicks that are at least so deep, as a part of the greatest depth.
    """

    lesion_chance: float
    click_depths: tuple[tuple[float, float], ...]


IN_TRAINING = Asking(0.87, ((0.25, 0.95), (0.2, 0.5), (0.55, 0.0)))
IN_VALIDATION = Asking(0.8, ((0.3, 0.95), (0.25, 0.5), (0.45, 0.0)))
"""As from the beginning, so that figures of different runs compare."""


@dataclass
class Examples:
    """One image and P prompts on it.

    Attributes:
        raster: (S, S) float32 in [0, 1].
        targets: (P, 3, S, S) bool: organ, region, finest object.
        coords: (P, 2, 2) float32, x and y in frame px.
        labels: (P, 2) int64, as segment_anything numbers them.
        is_lesion: (P,) bool.
    """

    raster: Field
    targets: NDArray[np.bool_]
    coords: NDArray[np.float32]
    labels: NDArray[np.int64]
    is_lesion: NDArray[np.bool_]


def draw_examples(rng: np.random.Generator, layers: Labels, n_prompts: int, augment: bool, side_px: int) -> Examples:
    """Draw prompts on a scene.

    Args:
        rng: source of chance.
        layers: the scene's four layers (4, 256, 256).
        n_prompts: how many.
        augment: as in training: vary turn, zoom and window, and ask with boxes and second clicks too; else as in
            validation: one click each.
        side_px: side of the raster and the targets.
    """
    raster = layers[0].astype(np.float32) / 255
    asking = IN_TRAINING if augment else IN_VALIDATION
    if augment:
        layers = turn(rng, layers)
        layers = zoom(rng, layers, side_px) if rng.random() < 0.4 else resize(layers, side_px)
        raster = window(rng, layers[0].astype(np.float32) / 255, layers[1] > 0)
    elif side_px != SIDE_PX:
        layers = resize(layers, side_px)
        raster = layers[0].astype(np.float32) / 255
    targets = np.zeros((n_prompts, 3, side_px, side_px), bool)
    coords = np.zeros((n_prompts, 2, 2), np.float32)
    labels = np.full((n_prompts, 2), PAD, np.int64)
    is_lesion = np.zeros(n_prompts, bool)
    for index in range(n_prompts):
        finest, is_lesion[index] = choose_object(rng, layers, asking.lesion_chance)
        x, y = click_inside(rng, finest, asking.click_depths)
        targets[index, 2] = finest
        targets[index, 1] = finest | (layers[2] == layers[2][y, x])
        targets[index, 0] = finest | (layers[1] == layers[1][y, x])
        coords[index, 0], labels[index, 0] = (x, y), POSITIVE
        if augment:
            _vary_prompt(rng, finest, coords[index], labels[index])
    coords = (np.clip(coords, 0, side_px - 1) + 0.5) * np.float32(FRAME_PX / side_px) - np.float32(0.5)
    return Examples(raster, targets, coords, labels, is_lesion)


def turn(rng: np.random.Generator, layers: Labels) -> Labels:
    """Turn by a multiple of 90 degrees, perhaps mirrored."""
    layers = np.rot90(layers, int(rng.integers(4)), (1, 2))
    return np.ascontiguousarray(layers[:, :, ::-1] if rng.random() < 0.5 else layers)


def resize(layers: Labels, side_px: int) -> Labels:
    """Resample to a side of `side_px`: the image by area, the labels by nearest."""
    if layers.shape[-1] == side_px:
        return layers
    how = cv2.INTER_AREA if side_px < layers.shape[-1] else cv2.INTER_LINEAR
    image = cv2.resize(layers[0], (side_px, side_px), interpolation=how)
    labels = [cv2.resize(layer, (side_px, side_px), interpolation=cv2.INTER_NEAREST_EXACT) for layer in layers[1:]]
    return np.stack([image, *labels])


def zoom(rng: np.random.Generator, layers: Labels, side_px: int) -> Labels:
    """Cut a square out, near a lesion when there is one, and enlarge it; smaller cuts when the raster is small."""
    least = 80 if side_px < SIDE_PX else 110
    side = int(rng.integers(least, 210))
    rows, columns = np.nonzero(layers[3] if layers[3].any() else layers[1])
    if not len(rows):
        return resize(layers, side_px)
    place = int(rng.integers(len(rows)))
    offset = rng.uniform(-0.35, 0.35, 2) * side
    top, left = np.clip(np.array([rows[place], columns[place]]) + offset - side / 2, 0, SIDE_PX - side).astype(int)
    return resize(np.ascontiguousarray(layers[:, top : top + side, left : left + side]), side_px)


def window(rng: np.random.Generator, raster: Field, body: Mask) -> Field:
    """Vary the window widely: as it is, normal tissue at a fraction of the range, or by percentiles; then noise."""
    chance = rng.random()
    if chance < 0.5 and body.sum() > 50:
        median = max(float(np.median(raster[body])), 0.03)
        raster = raster / np.float32(median * np.exp(rng.normal(np.log(2.7), 0.35)))
    elif chance < 0.75:
        low, high = np.percentile(raster, [rng.uniform(0, 3), rng.uniform(97, 100)])
        raster = (raster - np.float32(low)) / np.float32(max(high - low, 0.05))
    raster = np.clip(raster, 0, 1) ** np.float32(np.exp(rng.normal(0, 0.15)))
    raster = raster * np.float32(rng.uniform(0.75, 1.15)) + np.float32(rng.uniform(-0.03, 0.03))
    if rng.random() < 0.3:
        raster = raster + rng.standard_normal(raster.shape, np.float32) * np.float32(rng.uniform(0, 0.05))
    if rng.random() < 0.2:
        raster = np.where(body, raster, 0)
    raster = np.clip(raster, 0, 1).astype(np.float32)
    return 1 - raster if rng.random() < 0.08 else raster


def choose_object(rng: np.random.Generator, layers: Labels, lesion_chance: float) -> tuple[Mask, bool]:
    """Choose what to ask for: mostly a lesion, else a connected part of a region; say which."""
    sizes = np.bincount(layers[3].ravel(), minlength=2)
    present = [label for label in range(1, len(sizes)) if sizes[label] >= 6]
    if present and rng.random() < lesion_chance:
        return layers[3] == present[int(rng.integers(len(present)))], True
    regions = [label for label in np.unique(layers[2]) if label]
    mask = np.ones(layers.shape[1:], bool)
    if regions:
        label = regions[int(rng.integers(len(regions)))]
        mask = (layers[2] == label) & (layers[3] == 0)
        mask = mask if mask.sum() >= 30 else layers[2] == label
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    weights = np.sqrt(stats[1:, cv2.CC_STAT_AREA].astype(np.float64))
    return parts == 1 + int(rng.choice(count - 1, p=weights / weights.sum())), False


def click_inside(
    rng: np.random.Generator, mask: Mask, click_depths: tuple[tuple[float, float], ...]
) -> tuple[int, int]:
    """Click in an object: often at its most interior place, often anywhere."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    shares, least = zip(*click_depths)
    cut = least[int(rng.choice(len(least), p=shares))] * depth.max()
    rows, columns = np.nonzero(mask & (depth >= cut))
    place = int(rng.integers(len(rows)))
    return int(columns[place]), int(rows[place])


def _vary_prompt(
    rng: np.random.Generator, finest: Mask, coords: NDArray[np.float32], labels: NDArray[np.int64]
) -> None:
    """Replace the click by a loose box, or add a second click, in place."""
    chance = rng.random()
    if chance < BOX_CHANCE:
        box = bounding_box(finest)
        looseness = max(1.5, 0.05 * float((box[1] - box[0]).max()))
        coords[:], labels[:] = box + rng.normal(0, looseness, (2, 2)), (BOX_FIRST, BOX_SECOND)
    elif chance < BOX_CHANCE + SECOND_CLICK_CHANCE:
        label = int(rng.integers(2))
        where = finest if label == POSITIVE else _ring(finest)
        rows, columns = np.nonzero(where)
        if len(rows):
            place = int(rng.integers(len(rows)))
            coords[1], labels[1] = (columns[place], rows[place]), label


def bounding_box(mask: Mask) -> NDArray[np.float32]:
    """Return the corners (2, 2) of a mask: x, y of the first and of one past the last pixel."""
    rows, columns = np.nonzero(mask)
    return np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)


def _ring(mask: Mask) -> Mask:
    """Return the pixels within 10 px outside a mask."""
    grown = cv2.dilate(mask.astype(np.uint8), np.ones((21, 21), np.uint8))
    return grown.astype(bool) & ~mask
