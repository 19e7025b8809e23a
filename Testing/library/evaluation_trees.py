"""Synthetic BMAD trees and cases.csv: discs of tissue with bright lesions, written as BMAD writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from MIASSAMLib.protocols import Decoded
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


def write_cases(root: Path, n_groups: int = 3, n_slices: int = 7, with_faults: bool = False) -> Path:
    """Write small NIfTI volumes with one lesion each and their cases.csv; return the file."""
    import nibabel

    rng = np.random.default_rng(11)
    lines = ["case,image,mask,group,split"]
    for number in range(n_groups):
        image = np.stack([tissue(rng, (64, 64)) for _ in range(n_slices)])
        mask = np.zeros(image.shape, bool)
        mask[-2:] = lesion_mask(rng, (64, 64), 8)
        image = with_lesion(image, mask)
        for name, values in ((f"image{number}", image), (f"mask{number}", mask)):
            voxels = values.astype(np.uint8).transpose(2, 1, 0)
            nibabel.save(nibabel.Nifti1Image(voxels, np.diag([1.0, 1.0, 4.0, 1.0])), root / f"{name}.nii.gz")
        lines.append(f"case{number},image{number}.nii.gz,mask{number}.nii.gz,patient{number},")
    if with_faults:
        (root / "broken.nii.gz").write_bytes(b"not an image")
        lines.append("broken,broken.nii.gz,mask0.nii.gz,patient9,")
    path = root / "cases.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


class FakeModel:
    """A model that costs nothing: embeddings are shrunken greys, masks are discs around the prompt."""

    name, digest, device, input_px = "fake", "0" * 64, "cpu", 256

    def __init__(self) -> None:
        self.n_encoded = 0

    def encode(self, rasters, content_boxes=None):
        """Return embeddings (B, 256, 64, 64)."""
        self.n_encoded += len(rasters)
        small = torch.nn.functional.avg_pool2d(torch.from_numpy(rasters)[:, None], 4)
        return small * torch.linspace(0.1, 1, 256)[None, :, None, None]

    def decode(self, embedding, prompts):
        """Return discs of 40, 20 and 9 px of the 256 map."""
        rows, columns = np.mgrid[:256, :256]
        if prompts.boxes_xyxy is not None:
            centers = prompts.boxes_xyxy.reshape(-1, 2, 2).mean(1) / 4
        else:
            centers = prompts.points_xy[:, 0] / 4
        far = [(columns - x) ** 2 + (rows - y) ** 2 for x, y in centers]
        logits = np.stack([[radius**2 - one for radius in (40, 20, 9)] for one in far]).astype(np.float32)
        return Decoded(logits, np.tile(np.float32([0.9, 0.8, 0.7]), (len(logits), 1)))
