"""A model that remembers what it encoded last: a drag looks again at the windows that were just looked at."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from ..arrays import AnyArray, FloatArray
from ..method.embeddings import embedding_key
from ..protocols import Decoded, Prompts, SamModel

_KEPT = 32
"""Embeddings of 4 MiB, not rounded, so that masks are those of a model that forgets."""


class RecentModel:
    """Wraps a model; see `SamModel`."""

    def __init__(self, model: SamModel) -> None:
        self._model = model
        self._recent: OrderedDict[str, Any] = OrderedDict()
        self.name, self.digest, self.input_px = model.name, model.digest, model.input_px

    @property
    def device(self) -> str:
        """The device really used."""
        return self._model.device

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> Any:
        """Return image embeddings (B, 256, 64, 64); those encoded last are not encoded again."""
        boxes = [None] * len(rasters) if content_boxes is None else content_boxes
        keys = [embedding_key(raster, str(box)) for raster, box in zip(rasters, boxes, strict=True)]
        found = {key: self._recent.pop(key) for key in set(keys) if key in self._recent}
        if missing := [row for row, key in enumerate(keys) if key not in found]:
            fresh = self._model.encode(rasters[missing], None if content_boxes is None else content_boxes[missing])
            found |= {keys[row]: embedding for row, embedding in zip(missing, fresh, strict=True)}
        self._recent |= found
        while len(self._recent) > _KEPT:
            self._recent.popitem(last=False)
        first = found[keys[0]]
        stacked = first.new_empty((len(keys), *first.shape), device=self.device)
        for row, key in enumerate(keys):
            stacked[row] = found[key]
        return stacked

    def decode(self, embedding: Any, prompts: Prompts) -> Decoded:
        """Decode with the wrapped model."""
        return self._model.decode(embedding, prompts)
