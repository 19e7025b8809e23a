"""One look at a slice: the whole of it, or a window of it enlarged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import RefinedConfig
from ..protocols import SamModel
from ..volume import SliceFrame
from ..volume.slice_image import content_boxes, frame_to_native, render_raster

if TYPE_CHECKING:
    import torch

_BATCH = 8


@dataclass(frozen=True)
class Window:
    """A square part of a slice that is to be looked at closer.

    Attributes:
        name: words for the report.
        frame: the window in SAM's 1024 frame.
        corner_yx: native row and column of its first pixel.
    """

    name: str
    frame: SliceFrame
    corner_yx: tuple[int, int]


@dataclass(frozen=True)
class View:
    """An encoded look at a slice.

    Attributes:
        window: which part; the whole slice has an empty name.
        shape_yx: native rows and columns of the slice.
        embedding: image embedding (256, 64, 64).
    """

    window: Window
    shape_yx: tuple[int, int]
    embedding: torch.Tensor

    @property
    def name(self) -> str:
        """Words for the report; empty for the whole slice."""
        return self.window.name

    def to_frame_xy(self, native_xy: AnyArray) -> AnyArray:
        """Map native pixels (..., 2) of the slice to px of this look's 1024 frame."""
        return self.window.frame.to_frame_xy(np.asarray(native_xy, float) - self.window.corner_yx[::-1])

    def native_mask(self, logits: FloatArray) -> BoolArray:
        """Return where logits (256, 256) of this look are positive, bool (H, W) of the slice."""
        mask = np.zeros(self.shape_yx, bool)
        top, left = self.window.corner_yx
        rows, columns = self.window.frame.shape_yx
        mask[top : top + rows, left : left + columns] = frame_to_native(logits, self.window.frame) > 0
        return mask


def whole_view(frame: SliceFrame, embedding: torch.Tensor) -> View:
    """Return the look at the whole slice."""
    return View(Window("", frame, (0, 0)), frame.shape_yx, embedding)


def closer_windows(shape_yx: tuple[int, int], cluster: BoolArray, config: RefinedConfig) -> list[Window]:
    """Return windows round a cluster, `config.zoom` times as wide as it is (method 6; small lesions need it).

    cluster: bool (H, W), native.
    """
    rows, columns = np.nonzero(cluster)
    if not len(rows):
        return []
    center = np.array([(columns.min() + columns.max()) / 2, (rows.min() + rows.max()) / 2])
    widest, longest = max(np.ptp(rows), np.ptp(columns)) + 1, max(shape_yx)
    windows = []
    for factor in config.zoom:
        side = int(max(config.window_least_px, factor * widest))
        if side <= config.window_share * longest:
            frame, corner = SliceFrame.crop(shape_yx, center, side)
            windows.append(Window(f"zoom x{longest / side:.1f}, ", frame, corner))
    return windows


def native_windows(shape_yx: tuple[int, int], point_xy: AnyArray, seen_px: int, config: RefinedConfig) -> list[Window]:
    """Return windows round a point (native px) where a slice has more pixels than the model's input, `seen_px` wide.

    Nobody knows yet how wide the thing is, so that there are several, `config.native_windows` of what the model sees.
    """
    longest = max(shape_yx)
    if longest <= seen_px:
        return []
    sides = [int(share * seen_px) for share in config.native_windows]
    center = np.asarray(point_xy, float)
    return [
        Window(f"native {side} px, ", *SliceFrame.crop(shape_yx, center, side))
        for side in sides
        if side <= config.window_share * longest
    ]


def encode_windows(model: SamModel, pixels: FloatArray, windows: Sequence[Window]) -> list[View]:
    """Encode windows of a slice, several at once.

    pixels: the windowed slice (H, W) in [0, 1], native.
    """
    views: list[View] = []
    for first in range(0, len(windows), _BATCH):
        some = windows[first : first + _BATCH]
        rasters = np.stack([_raster(pixels, window, model.input_px) for window in some])
        embeddings = model.encode(rasters, content_boxes([window.frame for window in some]))
        shape = (pixels.shape[0], pixels.shape[1])
        views += [View(window, shape, embedding) for window, embedding in zip(some, embeddings, strict=True)]
    return views


def _raster(pixels: FloatArray, window: Window, side_px: int) -> FloatArray:
    top, left = window.corner_yx
    rows, columns = window.frame.shape_yx
    return render_raster(pixels[top : top + rows, left : left + columns], window.frame, side_px)
