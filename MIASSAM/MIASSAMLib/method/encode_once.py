"""A model that encodes each raster once, whoever asks: every table row reuses the embedding."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch

from ..arrays import AnyArray, FloatArray
from ..protocols import Decoded, Prompts, SamModel


class EncodeOnceModel:
    """Wraps a model; embeddings are kept exactly (float32) in a folder, up to a size.

    Once the folder is full, further rasters are encoded each time: evaluation asks in rounds, for
    which keeping the first is better than keeping the last.

    Args:
        model: the model asked when an embedding is not kept.
        folder: where embeddings are kept.
        max_bytes: size the folder may reach.
    """

    def __init__(self, model: SamModel, folder: Path, max_bytes: int) -> None:
        self.name, self.digest, self.device = model.name, model.digest, model.device
        self.input_px = model.input_px
        self.n_encoded = 0
        self._model = model
        self._folder = folder
        self._room = max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._kept: dict[str, int] = {path.stem: path.stat().st_size for path in folder.glob("*.npy")}
        self._used = sum(self._kept.values())

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings (B, 256, 64, 64), kept or new."""
        keys = [
            self._key(rasters[row], None if content_boxes is None else content_boxes[row])
            for row in range(len(rasters))
        ]
        found = [self._load(key) for key in keys]
        missing = [row for row, embedding in enumerate(found) if embedding is None]
        if missing:
            boxes = None if content_boxes is None else content_boxes[missing]
            fresh = self._model.encode(rasters[missing], boxes)
            self.n_encoded += len(missing)
            for row, embedding in zip(missing, fresh):
                found[row] = embedding
                self._keep(keys[row], embedding)
        return torch.stack([embedding for embedding in found if embedding is not None])

    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Decode with the wrapped model."""
        return self._model.decode(embedding, prompts)

    def _key(self, raster: FloatArray, box: AnyArray | None) -> str:
        digest = hashlib.blake2b(self.digest.encode(), digest_size=16)
        digest.update(np.ascontiguousarray(raster, np.float32).tobytes())
        if box is not None:
            digest.update(np.asarray(box, np.int64).tobytes())
        return digest.hexdigest()

    def _load(self, key: str) -> torch.Tensor | None:
        if key not in self._kept:
            return None
        try:
            return torch.from_numpy(np.load(self._folder / f"{key}.npy", allow_pickle=False)).to(self.device)
        except (OSError, ValueError, EOFError):
            self._used -= self._kept.pop(key)
            return None

    def _keep(self, key: str, embedding: torch.Tensor) -> None:
        array = embedding.float().cpu().numpy()
        if key in self._kept or self._used + array.nbytes > self._room:
            return
        path = self._folder / f"{key}.npy"
        temporary = path.with_suffix(".part")
        try:
            with open(temporary, "wb") as file:
                np.save(file, array, allow_pickle=False)
            temporary.replace(path)
        except OSError:  # the disk is full: go on without keeping more
            temporary.unlink(missing_ok=True)
            self._room = self._used
            return
        self._kept[key] = path.stat().st_size
        self._used += self._kept[key]
