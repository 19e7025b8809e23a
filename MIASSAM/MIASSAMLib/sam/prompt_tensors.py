"""Check arrays that enter a model and turn them into tensors on its device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..config import FRAME_PX, MAP_PX
from ..errors import UsageError
from ..protocols import Decoded, Prompts


@dataclass(frozen=True)
class PromptTensors:
    """A batch of P prompts as tensors; None where there is nothing of a kind.

    Attributes:
        points: float32 (P, T, 2) px of the 1024 frame and int64 labels (P, T).
        boxes: float32 (P, 4).
        masks: float32 (P, 1, 256, 256) logits.
        n: P.
    """

    points: tuple[torch.Tensor, torch.Tensor] | None
    boxes: torch.Tensor | None
    masks: torch.Tensor | None
    n: int


def prompt_tensors(prompts: Prompts, device: torch.device) -> PromptTensors:
    """Check a batch of prompts and move it to the device."""
    points_xy, labels = np.asarray(prompts.points_xy, np.float32), np.asarray(prompts.labels, np.int64)
    if points_xy.ndim != 3 or points_xy.shape[2] != 2 or labels.shape != points_xy.shape[:2]:
        raise UsageError(f"prompts need points (P, T, 2) and labels (P, T), got {points_xy.shape} and {labels.shape}")
    n = points_xy.shape[0]
    has_points = points_xy.shape[1] > 0
    points = (to_device(points_xy, device), to_device(labels, device)) if has_points else None
    boxes = _optional(prompts.boxes_xyxy, (n, 4), "boxes_xyxy", device)
    masks = _optional(prompts.mask_logits, (n, MAP_PX, MAP_PX), "mask_logits", device)
    if points is None and boxes is None and masks is None:
        raise UsageError("a prompt needs a point, a box or a mask, got none")
    return PromptTensors(points, boxes, None if masks is None else masks[:, None], n)


def check_rasters(rasters: Any, input_px: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return rasters as contiguous float32 (B, S, S), refusing another shape."""
    array = np.ascontiguousarray(rasters, dtype=np.float32)
    if array.ndim != 3 or array.shape[1:] != (input_px, input_px):
        raise UsageError(f"this model takes grey rasters (B, {input_px}, {input_px}) in [0, 1], got {array.shape}")
    return array


def content_masks(content_boxes: Any, side_px: int, device: torch.device) -> torch.Tensor:
    """Return bool (B, 1, S, S), True inside content boxes (top, left, height, width) in px of the 1024 frame."""
    boxes = torch.as_tensor(np.asarray(content_boxes), device=device) * (side_px / FRAME_PX)
    top, left, height, width = (boxes[:, index, None] for index in range(4))
    steps = torch.arange(side_px, device=device)[None]
    rows = (steps >= top) & (steps < top + height)
    columns = (steps >= left) & (steps < left + width)
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def to_decoded(low_res_logits: torch.Tensor, predicted_iou: torch.Tensor) -> Decoded:
    """Bring the decoder's answer to the host as float32 arrays."""
    return Decoded(low_res_logits.float().cpu().numpy(), predicted_iou.float().cpu().numpy())


def _optional(array: Any, shape: tuple[int, ...], name: str, device: torch.device) -> torch.Tensor | None:
    if array is None:
        return None
    checked = np.asarray(array, np.float32)
    if checked.shape != shape:
        raise UsageError(f"{name} should be {shape} to go with the points, got {checked.shape}")
    return to_device(checked, device)


def to_device(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on the device; to a CUDA GPU through pinned memory, without waiting."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
