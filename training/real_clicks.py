"""Click -> lesion on real volumes that were never trained on."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from MIASSAMLib.method.prepare import PreparedVolume, Preprocessing
from MIASSAMLib.sam.embedded import EmbeddedSam
from MIASSAMLib.volume.slice_image import frame_to_native, render_raster
from MIASSAMLib.volume_io import read_label, read_volume
from numpy.typing import NDArray
from scipy import ndimage

LEAST_AREA_PX = 100
RANDOM_CLICKS = 3


@dataclass(frozen=True)
class RealCase:
    """One labeled volume, cut and windowed as the package does.

    Attributes:
        name: of the case.
        prepared: the volume with its window, plane and frame.
        lesion_kji: where the lesion is, bool (K, J, I).
        organ_kji: where the organ is, bool (K, J, I); None where no mask is given.
    """

    name: str
    prepared: PreparedVolume
    lesion_kji: NDArray[np.bool_]
    organ_kji: NDArray[np.bool_] | None = None

    def lesion(self, index: int) -> NDArray[np.bool_]:
        """Return the lesion of one slice, bool (H, W)."""
        return np.asarray(self.prepared.plane.take(self.lesion_kji, index))

    def slices(self, least_px: int = LEAST_AREA_PX, step: int = 1) -> list[int]:
        """Return the slices whose lesion is larger than `least_px` pixels, every `step`-th."""
        count = self.prepared.plane.n_slices
        return [index for index in range(count) if self.lesion(index).sum() > least_px][::step]


def read_brats(folder: Path) -> list[RealCase]:
    """Read the tumor patients of a folder with one subfolder each."""
    return [
        read_case(case / "flair.nii.gz", case / "lesion.nii.gz", case / "brainmask.nii.gz")
        for case in sorted(folder.iterdir())
        if case.is_dir()
    ]


def read_case(image: Path, lesion: Path, organ: Path | None = None) -> RealCase:
    """Read a volume, its lesion label (any value above 0) and perhaps its organ mask."""
    volume = read_volume(image)
    prepared = PreparedVolume.of(volume, Preprocessing(modality="mri"))
    name = image.parent.name if organ else image.name.split(".")[0]
    lesion_kji = np.asarray(read_label(lesion, volume)) > 0
    return RealCase(name, prepared, lesion_kji, read_volume(organ).voxels_kji > 0.5 if organ else None)


@dataclass
class ClickScores:
    """Dice of each of the three masks, and the mask the model trusts most, for a list of clicks.

    Attributes:
        dice: (n, 3).
        predicted_iou: (n, 3).
    """

    dice: NDArray[np.float64]
    predicted_iou: NDArray[np.float64]

    def table(self) -> dict[str, float]:
        """Return the means that the model card lists."""
        rows = np.arange(len(self.dice))
        return {
            "n": len(self.dice),
            "third": float(self.dice[:, 2].mean()),
            "best": float(self.dice.max(1).mean()),
            "chosen_by_iou": float(self.dice[rows, self.predicted_iou.argmax(1)].mean()),
        }


def measure_clicks(model: EmbeddedSam, case: RealCase, step: int, seed: int) -> dict[str, ClickScores]:
    """Click at the most interior place of each lesion, and at random places in it."""
    rng = np.random.default_rng(seed)
    found: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {"interior": [], "random": []}
    for index in case.slices(step=step):
        truth = case.lesion(index)
        raster = render_raster(case.prepared.pixels(index), case.prepared.frame, model.input_px)
        embedding = model.encode(torch.from_numpy(raster)[None])[0]
        clicks = np.array([interior_click(truth), *random_clicks(rng, truth, RANDOM_CLICKS)])
        scores = list(_decode(model, embedding, case, clicks, truth))
        found["interior"].append(scores[0])
        found["random"] += scores[1:]
    return {name: ClickScores(*(np.array(part) for part in zip(*rows))) for name, rows in found.items() if rows}


def _decode(
    model: EmbeddedSam, embedding: torch.Tensor, case: RealCase, clicks: NDArray[np.float64], truth: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield, for each click (n, 2) in native pixels, the Dice (3,) and the predicted IoU (3,) of its masks."""
    frame = case.prepared.frame
    points = torch.from_numpy(frame.to_frame_xy(clicks)[:, None].astype(np.float32))
    logits, guess = model.decode(embedding, points, torch.ones(points.shape[:2]))
    for each, iou in zip(logits.numpy(), guess.numpy()):
        masks = frame_to_native(each, frame) > 0
        yield np.array([dice(mask, truth) for mask in masks]), iou.astype(np.float64)


def interior_click(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the most interior pixel (x, y) of a mask."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), mask.shape)
    return np.array([column, row], np.float64)


def random_clicks(rng: np.random.Generator, mask: NDArray[np.bool_], count: int) -> NDArray[np.float64]:
    """Return pixels (count, 2) x, y drawn evenly from a mask."""
    rows, columns = np.nonzero(mask)
    chosen = rng.integers(len(rows), size=count)
    return np.stack([columns[chosen], rows[chosen]], 1).astype(np.float64)


def dice(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Return the Dice overlap of two masks; 1 when both are empty."""
    total = int(first.sum() + second.sum())
    return 1.0 if total == 0 else 2 * int((first & second).sum()) / total


def join(parts: list[ClickScores]) -> ClickScores:
    """Put the clicks of several volumes together."""
    return ClickScores(
        np.concatenate([part.dice for part in parts]), np.concatenate([part.predicted_iou for part in parts])
    )
