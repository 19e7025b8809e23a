"""A SAM checkpoint behind the SamModel protocol, through segment-anything's own classes."""

from __future__ import annotations

from typing import Any

import torch

from ..arrays import AnyArray, FloatArray
from ..protocols import Decoded, Prompts
from .decoding import decode_tokens
from .prompt_tensors import check_rasters, content_masks, prompt_tensors, to_decoded, to_device


class SamCheckpointModel:
    """Encode grey rasters and decode prompts with segment-anything's Sam.

    Attributes:
        name: architecture or registry name.
        digest: SHA-256 of the checkpoint.
        device: torch device in words.
        input_px: 1024.
        precision: dtype of the encoder's matrix products, in words.
        sam: the segment_anything Sam itself.
    """

    input_px = 1024
    precision = "float32"

    def __init__(self, sam: Any, name: str, digest: str, device: torch.device, fast_decoder: bool = True) -> None:
        self.name = name
        self.digest = digest
        self.device = str(device)
        self.sam = sam.to(device)
        self._is_decoder_fast = fast_decoder
        self._image_pe = sam.prompt_encoder.get_dense_pe()

    @torch.no_grad()
    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings float32 (B, 256, 64, 64) of grey rasters (B, 1024, 1024) in [0, 1]."""
        return self.encode_tensor(self.normalized_images(rasters, content_boxes))

    def encode_tensor(self, images: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of normalized images (B, 3, 1024, 1024) on the device.

        A CPU takes them one by one: a batch only makes every layer's output larger than its cache.
        """
        if images.device.type != "cpu":
            return self._encode_batch(images)
        return torch.cat([self._encode_batch(image[None]) for image in images])

    def _encode_batch(self, images: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.sam.image_encoder(images)
        return embeddings.float()

    @torch.inference_mode()
    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Return masks whole, part and sub-part for each of P prompts on one embedding (256, 64, 64)."""
        tensors = prompt_tensors(prompts, self.sam.device)
        sparse, dense = self.sam.prompt_encoder(points=tensors.points, boxes=tensors.boxes, masks=tensors.masks)
        embedding = embedding.to(self.sam.device, torch.float32)
        return to_decoded(*self._decode_tokens(embedding[None], sparse, dense))

    def move_to(self, device: str) -> None:
        """Move the weights to another device, as when a GPU runs out of memory."""
        self.sam.to(device)
        self.device = device
        self._image_pe = self._image_pe.to(device)

    def normalized_images(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return images (B, 3, 1024, 1024) as Sam.preprocess leaves them: padding is 0 after normalization."""
        grey = to_device(check_rasters(rasters, self.input_px), self.sam.device)[:, None]
        images: torch.Tensor = (grey * 255.0 - self.sam.pixel_mean) / self.sam.pixel_std
        if content_boxes is not None:
            images = images * content_masks(content_boxes, self.input_px, images.device)
        return images

    def _decode_tokens(
        self, embedding: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self._is_decoder_fast:
            return self._decode_as_published(embedding, sparse, dense)
        return decode_tokens(self.sam.mask_decoder, self._image_pe, embedding, sparse, dense)

    def _decode_as_published(
        self, embedding: torch.Tensor, sparse: torch.Tensor, dense: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        answer: tuple[torch.Tensor, torch.Tensor] = self.sam.mask_decoder(
            image_embeddings=embedding,
            image_pe=self._image_pe,
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return answer
