"""Resampling between a slice's native pixels and the square frame; the only place where it happens."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from ..arrays import AnyArray, FloatArray
from ..config import FRAME_PX, MAP_PX
from .frame import SliceFrame


def render_raster(pixels: FloatArray, frame: SliceFrame, side_px: int, detour_px: int = 0) -> FloatArray:
    """Render a windowed slice as the grey raster a model's encoder takes.

    pixels: float32 (H, W) in [0, 1]. side_px: side of the raster, 256, 512 or 1024.
    detour_px: first shrink to this side and 8 bits, as the published code does (method difference 8).
    Returns float32 (side_px, side_px) in [0, 1], zero outside the content box.
    """
    if detour_px and detour_px != side_px:
        small = np.round(render_raster(pixels, frame, detour_px) * 255) / 255
        whole = torch.from_numpy(small.astype(np.float32))[None, None]
        return _numpy(F.interpolate(whole, size=(side_px, side_px), mode="bilinear", antialias=True)[0, 0])
    rows, columns = frame.content_slices(side_px)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    content = F.interpolate(_tensor(pixels)[None, None], size=size, mode="bilinear", antialias=True)[0, 0]
    raster = np.zeros((side_px, side_px), np.float32)
    raster[rows, columns] = np.clip(_numpy(content), 0, 1)
    return raster


def frame_to_native(values: FloatArray, frame: SliceFrame) -> FloatArray:
    """Carry frame values (..., 256, 256) back to native pixels (..., H, W), bilinearly.

    Logits are carried, not masks, so that the outline is placed below the 256-px grid.
    """
    rows, columns = frame.content_slices(MAP_PX)
    content = _tensor(values[..., rows, columns])
    flat = content.reshape(1, -1, *content.shape[-2:])
    native = F.interpolate(flat, size=frame.shape_yx, mode="bilinear", align_corners=False)
    return _numpy(native).reshape(*values.shape[:-2], *frame.shape_yx)


def native_to_map(values: AnyArray, frame: SliceFrame) -> FloatArray:
    """Average native values (H, W) into the 256-px frame; a bool mask becomes the share of foreground."""
    return render_raster(values.astype(np.float32), frame, MAP_PX)


def content_boxes(frames: list[SliceFrame]) -> AnyArray:
    """Return int (B, 4) content boxes (top, left, height, width) in px of the 1024 frame."""
    return np.array([frame.content_tlhw for frame in frames], int).reshape(-1, 4)


def map_to_frame_xy(map_xy: AnyArray) -> FloatArray:
    """Map pixel coordinates of the 256 map to px of the 1024 frame (integers = pixel centers)."""
    ratio = FRAME_PX / MAP_PX
    return np.asarray((np.asarray(map_xy, np.float64) + 0.5) * ratio - 0.5, np.float32)


def _tensor(values: AnyArray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _numpy(values: torch.Tensor) -> FloatArray:
    return np.asarray(values.numpy(), np.float32)
