"""What the rooms promise each other, without importing one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from .arrays import AnyArray, FloatArray

if TYPE_CHECKING:
    import torch

Progress: TypeAlias = Callable[[str, int, int], None]
"""progress(stage, done, total); raise `Cancelled` from it to stop the work."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Prompts:
    """A batch of P prompts for one slice, in px of the 1024 frame (integer = pixel center).

    Attributes:
        points_xy: float32 (P, T, 2).
        labels: int64 (P, T); 1 = inside, 0 = outside, -1 = padding.
        boxes_xyxy: float32 (P, 4) or None.
        mask_logits: float32 (P, 256, 256) or None, SAM's dense prompt.
    """

    points_xy: FloatArray
    labels: AnyArray
    boxes_xyxy: FloatArray | None = None
    mask_logits: FloatArray | None = None


@dataclass(frozen=True)
class Decoded:
    """SAM's answer to P prompts, in the paper's order: whole, part, sub-part (masks 1, 2, 3).

    Attributes:
        low_res_logits: float32 (P, 3, 256, 256) over the 1024 frame; a mask is where logits > 0.
        predicted_iou: float32 (P, 3).
    """

    low_res_logits: FloatArray
    predicted_iou: FloatArray


class SamModel(Protocol):
    """A SAM-format model: encode once, prompt many.

    Attributes:
        name: registry name, or the name of the checkpoint file.
        digest: SHA-256 of the checkpoint.
        input_px: side of the grey raster `encode` takes.
    """

    name: str
    digest: str
    input_px: int

    @property
    def device(self) -> str:
        """The device really used."""
        ...

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings (B, 256, 64, 64) of grey rasters (B, S, S) in [0, 1].

        content_boxes: int (B, 4) top, left, height, width of the slice in px of the 1024 frame;
        the rest is padding, black after normalization as in Sam.preprocess.
        """
        ...

    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Return three masks for each prompt on one image embedding (256, 64, 64)."""
        ...


class PatchSearcher(Protocol):
    """The part of a memory bank that scoring needs."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """Feature kinds of the bank, in order."""
        ...

    @property
    def calibration(self) -> dict[str, Any]:
        """Arrays measured on held-out normal slices; empty when there are none."""
        ...

    def search(self, kind: str, queries: FloatArray) -> FloatArray:
        """Return the squared L2 distance (Q,) of each query row (Q, D) to its nearest normal patch."""
        ...
