"""One look at a slice: the whole of it, or a window of it enlarged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import Config
from ..protocols import SamModel
from ..volume import SliceFrame
from ..volume.slice_image import content_boxes, frame_to_native, render_raster

if TYPE_CHECKING:
    import torch

SMALLEST_WINDOW_PX = 32
"""Side of the smallest window, native px: less shows nothing but interpolation."""
LARGEST_SHARE = 0.75
"""A window larger than this share of the slice is no closer look."""


@dataclass(frozen=True)
class View:
    """An encoded look at a slice.

    Attributes:
        name: words for the report; empty for the whole slice.
        frame: the look in SAM's 1024 frame.
        corner_yx: native row and column of its first pixel.
        shape_yx: native rows and columns of the slice.
        embedding: image embedding (256, 64, 64).
    """

    name: str
    frame: SliceFrame
    corner_yx: tuple[int, int]
    shape_yx: tuple[int, int]
    embedding: torch.Tensor

    def to_frame_xy(self, native_xy: AnyArray) -> AnyArray:
        """Map native pixels (..., 2) of the slice to px of this look's 1024 frame."""
        return self.frame.to_frame_xy(np.asarray(native_xy, float) - self.corner_yx[::-1])

    def native_mask(self, logits: FloatArray) -> BoolArray:
        """Return where logits (256, 256) of this look are positive, bool (H, W) of the slice."""
        mask = np.zeros(self.shape_yx, bool)
        top, left = self.corner_yx
        rows, columns = self.frame.shape_yx
        mask[top : top + rows, left : left + columns] = frame_to_native(logits, self.frame) > 0
        return mask


def whole_view(frame: SliceFrame, embedding: torch.Tensor) -> View:
    """Return the look at the whole slice."""
    return View("", frame, (0, 0), frame.shape_yx, embedding)


def closer_views(model: SamModel, pixels: FloatArray, cluster: BoolArray, config: Config) -> list[View]:
    """Encode windows round a cluster, `config.zoom` times as wide as it is (method 6; small lesions need it).

    Args:
        model: the encoder; each window is encoded once.
        pixels: the windowed slice (H, W) in [0, 1], native.
        cluster: the cluster, bool (H, W), native.
        config: the preset.
    """
    rows, columns = np.nonzero(cluster)
    if not len(rows):
        return []
    center = ((columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2)
    widest = max(np.ptp(rows), np.ptp(columns)) + 1
    views = []
    for factor in config.zoom:
        side = int(max(SMALLEST_WINDOW_PX, factor * widest))
        if side <= LARGEST_SHARE * max(pixels.shape):
            views.append(_window(model, pixels, center, side, f"zoom x{max(pixels.shape) / side:.1f}, "))
    return views


def _window(model: SamModel, pixels: FloatArray, center_xy: tuple[float, float], side: int, name: str) -> View:
    frame, (top, left) = SliceFrame.crop((pixels.shape[0], pixels.shape[1]), np.array(center_xy), side)
    rows, columns = frame.shape_yx
    raster = render_raster(pixels[top : top + rows, left : left + columns], frame, model.input_px)
    embedding = model.encode(raster[None], content_boxes([frame]))[0]
    return View(name, frame, (top, left), (pixels.shape[0], pixels.shape[1]), embedding)
