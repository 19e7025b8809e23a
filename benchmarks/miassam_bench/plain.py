"""The plain way, for comparison: what a reader of the paper writes with segment-anything and Faiss."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from MIASSAMLib.arrays import AnyArray, FloatArray
from MIASSAMLib.protocols import Prompts
from MIASSAMLib.sam.models import prompt_tensors
from torch.nn import functional as F

_WINDOW, _STRIDE, _PADDING, _POOLED = 5, 2, 2, 1024
_MAP_PX, _SIGMA_PX, _GAMMA = 256, 4.0, 5.0


class PlainWay:
    """segment-anything in float32, slice by slice, each encoded twice, Faiss's flat index.

    Args:
        model: a model loaded without acceleration.
        bank_rows: rows (M, 1024) of the memory bank, for `segment`.
    """

    def __init__(self, model: Any, bank_rows: FloatArray | None = None) -> None:
        self.model = model
        self.index = None if bank_rows is None else _flat_index(bank_rows)

    @torch.no_grad()
    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits (P, 3, 256, 256) and predicted IoU (P, 3) by the published prompt encoder and decoder."""
        sam = self.model.sam
        sparse, dense = sam.prompt_encoder(**prompt_tensors(prompts, slice(None), sam.device))
        answer: tuple[torch.Tensor, torch.Tensor] = sam.mask_decoder(
            image_embeddings=embedding[None].to(sam.device, torch.float32),
            image_pe=sam.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=True,
        )
        return answer

    def segment(self, raster: FloatArray) -> AnyArray:
        """Return the third mask bool (1024, 1024) of one raster (1, S, S), encoding it twice."""
        anomaly_map = self.anomaly_map(self.patches(self.model.encode(raster)))
        point = _center_of_gravity(anomaly_map) * 4.0 + 1.5
        prompts = Prompts(point.reshape(1, 1, 2).astype(np.float32), np.ones((1, 1), np.int64))
        logits, _ = self.decode(self.model.encode(raster)[0], prompts)
        large = F.interpolate(logits, (1024, 1024), mode="bilinear", align_corners=False)
        return np.asarray((large[0, 2] > 0).cpu().numpy())

    def patches(self, embeddings: torch.Tensor) -> FloatArray:
        """Return patch embeddings (1024, 1024) of one slice: unfold 5x5 windows, pool each to 1,024 numbers."""
        windows = F.unfold(embeddings, _WINDOW, padding=_PADDING, stride=_STRIDE)
        pooled = F.adaptive_avg_pool1d(windows.transpose(1, 2), _POOLED)
        return np.ascontiguousarray(pooled[0].float().cpu().numpy())

    def anomaly_map(self, patches: FloatArray) -> FloatArray:
        """Return the map (256, 256): nearest distance, bilinear, Gaussian."""
        from scipy import ndimage

        if self.index is None:
            raise ValueError("the plain way has no bank rows to search")
        squared, _ = self.index.search(patches, 1)
        grid = torch.from_numpy(np.sqrt(np.maximum(squared, 0)).reshape(1, 1, 32, 32))
        large = F.interpolate(grid, (_MAP_PX, _MAP_PX), mode="bilinear", align_corners=False)
        return np.asarray(ndimage.gaussian_filter(large[0, 0].numpy(), _SIGMA_PX), np.float32)


def _flat_index(rows: FloatArray) -> Any:
    import faiss

    index = faiss.IndexFlatL2(rows.shape[1])
    index.add(rows)
    return index


def _center_of_gravity(values: FloatArray) -> AnyArray:
    weights = ((values - values.min()) / max(float(np.ptp(values)), 1e-12)) ** _GAMMA
    rows, columns = np.indices(values.shape)
    return np.array([(columns * weights).sum(), (rows * weights).sum()]) / max(float(weights.sum()), 1e-12)
