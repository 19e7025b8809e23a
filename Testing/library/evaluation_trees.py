"""Synthetic BMAD trees and cases.csv: discs of tissue with bright lesions, written as BMAD writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

SIZES = {"brain": (96, 96), "liver": (128, 128), "retina": (64, 128)}


def tissue(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """Return a disc of textured tissue on black, uint8."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    center = (np.array(shape) - 1) / 2
    radius = ((rows - center[0]) / (0.42 * shape[0])) ** 2 + ((columns - center[1]) / (0.42 * shape[1])) ** 2
    values = 85 + 10 * np.cos(4 * np.pi * radius) + rng.normal(0, 3, shape)
    return np.where(radius < 1, np.clip(values, 30, 255), 0).astype(np.uint8)


def lesion_mask(rng: np.random.Generator, shape: tuple[int, int], radius_px: float = 9) -> np.ndarray:
    """Return a disc inside the tissue, bool."""
    center = np.array(shape) / 2 + rng.uniform(-0.15, 0.15, 2) * shape
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - center[0]) ** 2 + (columns - center[1]) ** 2 < radius_px**2


def with_lesion(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Brighten the tissue under a mask."""
    return np.where(mask, np.minimum(image.astype(int) + 110, 255), image).astype(np.uint8)


def write_bmad(root: Path, name: str, layout: str, n_train: int = 8, n_test: int = 3) -> Path:
    """Write a data set below `root` in layout "bmad" or "published"; return its folder.

    Mask files are written in another order and case than the images, so that pairing by position fails.
    """
    rng = np.random.default_rng(5)
    shape = SIZES[name]
    folder = (
        root
        / {"brain": "Brain_AD/BraTS2021_slice", "liver": "Liver_AD/hist_DIY", "retina": "Retina_RESC_AD/RESC"}[name]
    )
    for number in range(n_train):
        _save(folder / "train" / "good" / f"case_{number // 2:03d}_{60 + number % 2}.png", tissue(rng, shape))
    for label in ("good", "Ungood"):
        for number in range(n_test):
            stem = f"{label.lower()}_{number:03d}_{70 - number}"
            mask = lesion_mask(rng, shape) if label == "Ungood" else np.zeros(shape, bool)
            image = with_lesion(tissue(rng, shape), mask)
            images, masks = _folders(folder, label, layout, name)
            _save(images / f"{stem}.png", np.repeat(image[..., None], 3, -1))
            _save(
                masks / f"{stem}.PNG", np.where(mask, 128 if name == "retina" and number else 255, 0).astype(np.uint8)
            )
    return folder


def _folders(folder: Path, label: str, layout: str, name: str) -> tuple[Path, Path]:
    if layout == "published":
        return folder / "test" / "test" / label, folder / "test" / "test_labels" / label
    mask_folder = {"brain": "label", "liver": "anomaly_mask", "retina": "ground_truth"}[name]
    return folder / "test" / label / "img", folder / "test" / label / mask_folder


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
