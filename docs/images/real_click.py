"""Draw docs/images/real_click.png: one click on a real tumor, `python docs/images/real_click.py FOLDER`.

FOLDER holds brain1_image.nrrd and brain1_label.nrrd (a T1-weighted head with a labeled tumor). Each panel is clicked
at the tumor's most interior pixel; the program's outline is green, the label's white.
"""

import sys
from pathlib import Path

import numpy as np
from MIASSAMLib.config import preset
from MIASSAMLib.method import Segmenter
from MIASSAMLib.sam import load_model
from MIASSAMLib.volume_io import read_label, read_volume
from PIL import Image, ImageDraw
from scipy import ndimage

SLICES, SCALE, HALF = (12, 15, 16), 5, 45


def outline(mask: np.ndarray) -> np.ndarray:
    """Return the rim of a mask enlarged by SCALE, one screen pixel wide."""
    large = np.kron(mask, np.ones((SCALE, SCALE), bool))
    return large & ~ndimage.binary_erosion(large)


def main(folder: Path) -> None:
    """Click, print the Dice, draw."""
    volume = read_volume(folder / "brain1_image.nrrd")
    label = read_label(folder / "brain1_label.nrrd", volume) > 0
    segmenter = Segmenter(load_model("embedded"), None, preset("paper"))
    prepared = segmenter.prepare(volume)
    panels = []
    for index in SLICES:
        truth = prepared.plane.take(label, index)
        depth = ndimage.distance_transform_edt(truth)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        encoded = next(iter(segmenter.encode(prepared, [index])))
        mask = segmenter.redecode(prepared, encoded, np.array([[x, y]]), np.array([1])).mask
        sys.stdout.write(f"slice {index}: Dice {2 * (mask & truth).sum() / (mask.sum() + truth.sum()):.3f}\n")
        top, left = max(0, y - HALF), max(0, x - HALF)
        window = np.s_[top : top + 2 * HALF, left : left + 2 * HALF]
        grey = (np.clip(prepared.pixels(index)[window] * 1.6, 0, 1) * 255).astype(np.uint8)
        rgb = np.repeat(np.kron(grey, np.ones((SCALE, SCALE), np.uint8))[..., None], 3, 2)
        rgb[outline(truth[window])] = 255
        rgb[outline(mask[window])] = (60, 230, 90)
        picture = Image.fromarray(rgb)
        cx, cy = ((x - left) * SCALE + SCALE // 2, (y - top) * SCALE + SCALE // 2)
        draw = ImageDraw.Draw(picture)
        for dx, dy in ((9, 0), (0, 9)):
            draw.line((cx - dx, cy - dy, cx + dx, cy + dy), fill=(255, 210, 60), width=3)
        panels.append(np.asarray(picture))
    height = min(panel.shape[0] for panel in panels)
    Image.fromarray(np.concatenate([panel[:height] for panel in panels], 1)).save(
        Path(__file__).with_name("real_click.png")
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
