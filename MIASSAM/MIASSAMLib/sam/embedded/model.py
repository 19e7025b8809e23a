"""The embedded model as a whole: a segment_anything `Sam` that fits in the package."""

from pathlib import Path

import torch
from segment_anything.modeling import MaskDecoder, Sam, TwoWayTransformer
from torch import Tensor

from MIASSAMLib.sam.embedded.encoder import EMBEDDING_DIM, INPUT_PX, FrameEncoder
from MIASSAMLib.sam.embedded.prompt_encoder import ClickPromptEncoder
from MIASSAMLib.sam.fast_decode import predict_masks
from MIASSAMLib.sam.state_dict import check_fits, read_state_dict

WEIGHTS_PATH = Path(__file__).parent / "weights" / "embedded.pt"
CARD_PATH = WEIGHTS_PATH.with_suffix(".json")


class EmbeddedSam(Sam):  # type: ignore[misc]
    """A SAM of 6.2 M parameters: grey 256-px input, 256x64x64 image embedding, SAM's decoder with three masks.

    The three masks mean the organ, the region in it and the finest object under the prompt, in this order. It also
    works as a plain `Sam`: `SamPredictor(model)` takes RGB images and scales them to the 1024-px frame.
    """

    input_px = INPUT_PX

    def __init__(self) -> None:
        decoder = MaskDecoder(
            num_multimask_outputs=3,
            transformer=TwoWayTransformer(2, EMBEDDING_DIM, 8, 256),
            transformer_dim=EMBEDDING_DIM,
            iou_head_depth=3,
            iou_head_hidden_dim=128,
        )
        super().__init__(FrameEncoder(), ClickPromptEncoder(), decoder)

    @torch.no_grad()
    def encode(self, rasters: Tensor) -> Tensor:
        """Encode grey rasters (B, 256, 256) in [0, 1]; return image embeddings (B, 256, 64, 64)."""
        if rasters.ndim != 3 or rasters.shape[1:] != (INPUT_PX, INPUT_PX):
            raise ValueError(f"got rasters {tuple(rasters.shape)}, want (B, {INPUT_PX}, {INPUT_PX}): resample first")
        embedding: Tensor = self.image_encoder.grey(rasters[:, None].to(self.device, torch.float32))
        return embedding

    @torch.no_grad()
    def decode(
        self,
        embedding: Tensor,
        points_xy: Tensor | None,
        labels: Tensor | None,
        boxes: Tensor | None = None,
        mask_logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Decode P prompts on one image.

        Args:
            embedding: image embedding (256, 64, 64).
            points_xy: positions (P, T, 2) in frame px (1024), integer = pixel centre; None without points.
            labels: (P, T), 1 on the object, 0 beside it, -1 padding; None without points.
            boxes: x, y, x, y (P, 4) in frame px, or None.
            mask_logits: low-res logits of an earlier answer (P, 256, 256), or None.

        Returns:
            Low-res logits (P, 3, 256, 256) in order whole, region, lesion; predicted IoU (P, 3).
        """
        points = None if points_xy is None or labels is None else (points_xy, labels)
        masks = None if mask_logits is None else mask_logits[:, None].float()
        sparse, dense = self.prompt_encoder(points, boxes, masks)
        logits, iou = self.decode_tokens(embedding[None], sparse, dense)
        return logits[:, 1:], iou[:, 1:]

    def decode_tokens(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
        """Decode embedded prompts; return all four masks (P, 4, 4h, 4w) and predicted IoU (P, 4)."""
        image_pe = self.prompt_encoder.pe_layer(tuple(dense.shape[-2:]))[None]
        return predict_masks(self.mask_decoder, image_pe, embedding, sparse, dense)


def load_embedded(checkpoint: Path | None = None) -> EmbeddedSam:
    """Load the shipped weights, or another checkpoint of this architecture, ready for use on the CPU.

    Args:
        checkpoint: a state dict saved by torch (read with weights_only); None takes the file in the package.

    Raises:
        CheckpointError: the file is missing, cannot be read or holds another architecture.
    """
    path = WEIGHTS_PATH if checkpoint is None else checkpoint
    model, state = EmbeddedSam(), read_state_dict(path)
    check_fits(state, model.state_dict(), f"{path.name} does not fit the embedded model")
    model.load_state_dict({name: value.float() for name, value in state.items()})
    model.eval()
    return model
