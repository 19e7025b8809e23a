"""The embedded model behind the SamModel protocol."""

from __future__ import annotations

from pathlib import Path

import torch

from ..arrays import AnyArray, FloatArray
from ..files import sha256_of_file
from ..protocols import Decoded, Prompts
from .acceleration import accelerate
from .decoding import decode_tokens
from .embedded import WEIGHTS_PATH, EmbeddedSam, load_embedded
from .options import RunOptions
from .prompt_tensors import check_rasters, prompt_tensors, to_decoded, to_device


class EmbeddedModel:
    """Encode grey rasters and decode prompts with the small SAM that is shipped in the package.

    Attributes:
        name: "embedded".
        digest: SHA-256 of its weights file.
        device: torch device in words.
        precision: dtype of the encoder's convolutions, in words.
        input_px: 256.
        sam: the network, itself a segment_anything Sam.
    """

    name = "embedded"
    input_px = 256
    precision = "float32"

    def __init__(self, sam: EmbeddedSam, digest: str, device: torch.device) -> None:
        self.digest = digest
        self.device = str(device)
        self.sam = sam.to(device).requires_grad_(False)
        self._image_pe = self.sam.prompt_encoder.get_dense_pe()

    @torch.no_grad()
    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings float32 (B, 256, 64, 64) of grey rasters (B, 256, 256) in [0, 1].

        content_boxes is not needed: this model was trained with black padding, which rasters have.
        """
        grey = to_device(check_rasters(rasters, self.input_px), self.sam.device)
        embeddings: torch.Tensor = self.sam.image_encoder.grey(grey[:, None])
        return embeddings

    @torch.inference_mode()
    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Return masks whole, part and sub-part for each of P prompts on one embedding (256, 64, 64)."""
        tensors = prompt_tensors(prompts, self.sam.device)
        sparse, dense = self.sam.prompt_encoder(tensors.points, tensors.boxes, tensors.masks)
        embedding = embedding.to(self.sam.device, torch.float32)
        return to_decoded(*decode_tokens(self.sam.mask_decoder, self._image_pe, embedding[None], sparse, dense))

    def move_to(self, device: str) -> None:
        """Move the weights to another device, as when a GPU runs out of memory."""
        self.sam.to(device)
        self.device = device
        self._image_pe = self._image_pe.to(device)


def load_embedded_model(checkpoint: Path | None, device: torch.device, options: RunOptions) -> EmbeddedModel:
    """Load the shipped weights, or another checkpoint of the same architecture."""
    sam = load_embedded(checkpoint)
    model = EmbeddedModel(sam, sha256_of_file(checkpoint or WEIGHTS_PATH), device)
    accelerate(model, options)
    return model
