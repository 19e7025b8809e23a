"""The slice frame: native pixels of one slice <-> SAM's square 1024 frame.

Integer coordinates are pixel centers in both. The content box is a multiple of 4 px, so the frame
is exact at SAM's 256-px masks as well, and the way back is the exact inverse of the way there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..arrays import AnyArray, DoubleArray
from ..config import FRAME_PX

_QUANTUM = 4


@dataclass(frozen=True)
class SliceFrame:
    """Where a slice of (rows, columns) lies in the square frame.

    Attributes:
        shape_yx: native rows and columns.
        content_tlhw: top, left, height, width of the slice in px of the 1024 frame.
    """

    shape_yx: tuple[int, int]
    content_tlhw: tuple[int, int, int, int]

    @classmethod
    def fit(cls, shape_yx: tuple[int, int], aspect: float = 1.0) -> SliceFrame:
        """Fit a slice into the frame, centered (the published code's square padding).

        aspect: height of a pixel over its width; 1 keeps the pixel grid as it is.
        """
        rows, columns = shape_yx
        tall, wide = rows * aspect, float(columns)
        scale = FRAME_PX / max(tall, wide)
        height, width = (_quantize(side * scale) for side in (tall, wide))
        top, left = (_QUANTUM * ((FRAME_PX - side) // (2 * _QUANTUM)) for side in (height, width))
        return cls(shape_yx, (top, left, height, width))

    @classmethod
    def crop(cls, shape_yx: tuple[int, int], center_xy: AnyArray, side_px: int) -> tuple[SliceFrame, tuple[int, int]]:
        """Frame a square window of the slice for a closer look.

        Returns the frame of the window and its native (row, column) offset; the window is moved
        inside the slice where it would stick out.
        """
        rows, columns = shape_yx
        height, width = min(side_px, rows), min(side_px, columns)
        top = int(np.clip(round(float(center_xy[1]) - height / 2), 0, rows - height))
        left = int(np.clip(round(float(center_xy[0]) - width / 2), 0, columns - width))
        return cls.fit((height, width)), (top, left)

    @property
    def scale_xy(self) -> DoubleArray:
        """Frame px per native px along x and y."""
        _, _, height, width = self.content_tlhw
        return np.array([width / self.shape_yx[1], height / self.shape_yx[0]])

    @property
    def offset_xy(self) -> DoubleArray:
        """Left and top edge of the content in the frame."""
        top, left, _, _ = self.content_tlhw
        return np.array([left, top], float)

    def to_frame_xy(self, native_xy: AnyArray) -> DoubleArray:
        """Map native pixel coordinates (..., 2) to the 1024 frame."""
        return np.asarray((np.asarray(native_xy, float) + 0.5) * self.scale_xy + self.offset_xy - 0.5)

    def to_native_xy(self, frame_xy: AnyArray) -> DoubleArray:
        """Map coordinates (..., 2) of the 1024 frame back to native pixels."""
        return np.asarray((np.asarray(frame_xy, float) + 0.5 - self.offset_xy) / self.scale_xy - 0.5)

    def content_slices(self, side_px: int) -> tuple[slice, slice]:
        """Return the row and column slices of the content in a raster of side 1024, 512 or 256."""
        top, left, height, width = (value * side_px // FRAME_PX for value in self.content_tlhw)
        return slice(top, top + height), slice(left, left + width)


def _quantize(length: float) -> int:
    return int(np.clip(_QUANTUM * round(length / _QUANTUM), _QUANTUM, FRAME_PX))
