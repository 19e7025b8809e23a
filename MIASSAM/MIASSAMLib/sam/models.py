"""The models behind the SamModel protocol: encode a grey slice once, decode many prompts on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..arrays import AnyArray, FloatArray
from ..config import FRAME_PX, MAP_PX
from ..errors import UsageError
from ..protocols import Decoded, Prompts
from .device import MemoryLadder
from .fast_decode import predict_masks


class TorchModel:
    """A segment_anything `Sam` that takes batches as large as its device has memory for.

    Attributes:
        name: name in the table of models.
        digest: SHA-256 of the checkpoint.
        device: torch device in words, the one really used.
        input_px: side of the grey raster `encode` takes.
        precision: dtype of the encoder's matrix products, in words.
        sam: the segment_anything Sam itself.
    """

    input_px = 1024
    precision = "float32"

    def __init__(self, sam: Any, name: str, digest: str, device: torch.device) -> None:
        self.name = name
        self.digest = digest
        self.device = str(device)
        self.sam = sam.to(device).requires_grad_(False)
        self._image_pe = sam.prompt_encoder.get_dense_pe().contiguous(memory_format=torch.channels_last)
        self._slices, self._prompts = MemoryLadder(self, "slices"), MemoryLadder(self, "prompts")

    @torch.no_grad()
    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings float32 (B, 256, 64, 64) of grey rasters (B, S, S) in [0, 1], S = `input_px`.

        content_boxes: (B, 4) top, left, height, width of the slice in px of the 1024 frame; the rest is
        padding, black as in Sam.preprocess.

        Raises:
            UsageError: the rasters have another shape.
            MiassamError: memory does not suffice for one slice on the CPU.
        """
        checked = check_rasters(rasters, self.input_px)

        def work(some: slice) -> torch.Tensor:
            return self.encode_batch(checked[some], None if content_boxes is None else content_boxes[some])

        parts = self._slices.run(len(checked), work)
        return parts[0] if len(parts) == 1 else torch.cat([part.to(self.sam.device) for part in parts])

    def encode_batch(self, rasters: FloatArray, content_boxes: AnyArray | None) -> torch.Tensor:
        """Encode one batch that is thought to fit, as `encode`."""
        raise NotImplementedError

    @torch.inference_mode()
    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Return masks whole, part and sub-part for each of P prompts on one embedding (256, 64, 64).

        Raises:
            UsageError: there is no prompt, or its arrays do not fit one another.
            MiassamError: memory does not suffice for one prompt on the CPU.
        """
        parts = self._prompts.run(check_prompts(prompts), lambda some: self.decode_batch(embedding, prompts, some))
        return Decoded(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def decode_batch(self, embedding: torch.Tensor, prompts: Prompts, some: slice) -> tuple[FloatArray, FloatArray]:
        """Decode some prompts, thought to fit, to logits (p, 3, 256, 256) and predicted IoU (p, 3) on the host.

        A CPU takes them one by one: a batch leaves its cache and costs twice as much.
        """
        device = self.sam.device
        embedding = embedding.to(device, torch.float32)[None]
        step = 1 if device.type == "cpu" else some.stop - some.start
        answers = []
        for first in range(some.start, some.stop, step):
            tensors = prompt_tensors(prompts, slice(first, first + step), device)
            tokens = self.sam.prompt_encoder(**tensors)
            answers.append(predict_masks(self.sam.mask_decoder, self._image_pe, embedding, *tokens))
        logits, iou = (torch.cat(parts)[:, 1:].float().cpu().numpy() for parts in zip(*answers, strict=True))
        return logits, iou

    def move_to(self, device: str) -> None:
        """Move the weights to another device."""
        self.sam.to(device)
        self.device = device
        self._image_pe = self._image_pe.to(device)


class EmbeddedModel(TorchModel):
    """The small SAM that is shipped in the package; its padding is black by training, so it needs no boxes."""

    input_px = 256

    def encode_batch(self, rasters: FloatArray, content_boxes: AnyArray | None) -> torch.Tensor:
        """Return embeddings float32 (B, 256, 64, 64) of grey rasters (B, 256, 256)."""
        grey = to_device(rasters, self.sam.device)
        embeddings: torch.Tensor = self.sam.image_encoder.grey(grey[:, None])
        return embeddings


class CheckpointModel(TorchModel):
    """A SAM-format checkpoint with a 1024-px encoder: ViT-B, L, H or TinyViT.

    Attributes:
        takes_unit_range: the encoder wants grey values 0 to 1, as MedSAM was trained, not SAM's normalized colors.
    """

    takes_unit_range = False

    def encode_batch(self, rasters: FloatArray, content_boxes: AnyArray | None) -> torch.Tensor:
        """Return embeddings float32 (B, 256, 64, 64) of grey rasters (B, 1024, 1024).

        A CPU takes them one by one: a batch only makes every layer's output larger than its cache.
        """
        images = self.normalized_images(rasters, content_boxes)
        pieces = torch.split(images, 1) if images.device.type == "cpu" else (images,)
        return torch.cat([self.sam.image_encoder(piece).float() for piece in pieces])

    def normalized_images(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return images (B, 3, 1024, 1024) as Sam.preprocess leaves them: padding is 0 after normalization."""
        grey = to_device(check_rasters(rasters, self.input_px), self.sam.device)[:, None]
        if self.takes_unit_range:
            images = grey.expand(-1, 3, -1, -1)
        else:
            images = (grey * 255.0 - self.sam.pixel_mean) / self.sam.pixel_std
        if content_boxes is not None:
            images = images * content_masks(content_boxes, self.input_px, images.device)
        return images


def check_prompts(prompts: Prompts) -> int:
    """Return the number of prompts, refusing arrays that do not go together.

    Raises:
        UsageError: a shape is wrong, or there is no prompt at all.
    """
    points, labels = np.shape(prompts.points_xy), np.shape(prompts.labels)
    if len(points) != 3 or points[2] != 2 or labels != points[:2]:
        raise UsageError(f"prompts need points (P, T, 2) and labels (P, T), got {points} and {labels}")
    wanted = {"boxes_xyxy": (points[0], 4), "mask_logits": (points[0], MAP_PX, MAP_PX)}
    given = {name: np.shape(array) for name in wanted if (array := getattr(prompts, name)) is not None}
    for name, shape in given.items():
        if shape != wanted[name]:
            raise UsageError(f"{name} should be {wanted[name]} to go with the points, got {shape}")
    if not points[0] or not (points[1] or given):
        raise UsageError("a prompt needs a point, a box or a mask, got none")
    return int(points[0])


def prompt_tensors(prompts: Prompts, some: slice, device: torch.device) -> dict[str, Any]:
    """Return some of the prompts on a device, as the prompt encoder's arguments: points, boxes, masks."""

    def tensor(array: Any, dtype: Any) -> torch.Tensor:
        return to_device(np.asarray(array[some], dtype), device)

    points = (tensor(prompts.points_xy, np.float32), tensor(prompts.labels, np.int64))
    boxes, masks = prompts.boxes_xyxy, prompts.mask_logits
    return {
        "points": points if points[0].shape[1] else None,
        "boxes": None if boxes is None else tensor(boxes, np.float32),
        "masks": None if masks is None else tensor(masks, np.float32)[:, None],
    }


def check_rasters(rasters: Any, input_px: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return rasters as contiguous float32 (B, S, S), refusing another shape."""
    array = np.ascontiguousarray(rasters, dtype=np.float32)
    if array.ndim != 3 or array.shape[1:] != (input_px, input_px) or not len(array):
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


def to_device(array: np.ndarray[Any, Any], device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on the device; to a CUDA GPU through pinned memory, without waiting."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
