"""A volume being worked on: every slice is encoded and searched once, then asked many times."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from ..arrays import FloatArray
from ..config import Config
from ..method import (
    EncodedSlice,
    PreparedVolume,
    Preprocessing,
    Segmenter,
    SliceMap,
    extract_features,
    smoothed_brightness,
)
from ..method.embeddings import EmbeddingCache, embedding_key
from ..protocols import PatchSearcher, SamModel
from ..volume import Volume


class WarmSegmenter(Segmenter):
    """A segmenter of one volume that remembers image embeddings and maps.

    Embeddings are kept in half precision in a cache that sessions share; those it had to give up are
    encoded again when they are asked for. `n_encoded` counts the slices that went through the encoder.
    """

    def __init__(
        self,
        model: SamModel,
        bank: PatchSearcher | None,
        config: Config,
        preprocessing: Preprocessing,
        volume: Volume,
        cache: EmbeddingCache | None = None,
    ) -> None:
        super().__init__(model, bank, config, preprocessing)
        self.volume = volume
        self.n_encoded = 0
        self._prepared: PreparedVolume | None = None
        self._cache = EmbeddingCache() if cache is None else cache
        words = json.dumps([preprocessing.to_dict(), volume.modality, config.detour_px], sort_keys=True)
        self._key = embedding_key(volume.voxels_kji, str(volume.ijk_to_ras.tolist()), words, model.digest)
        self._maps: dict[int, SliceMap] = {}

    def prepare(self, volume: Volume) -> PreparedVolume:
        """Prepare the session's volume once."""
        if volume is not self.volume:
            return super().prepare(volume)
        if self._prepared is None:
            self._prepared = super().prepare(volume)
        return self._prepared

    def encode(self, prepared: PreparedVolume, indexes: Sequence[int], batch: int = 0) -> Iterator[EncodedSlice]:
        """Encode the slices not yet known, and return all in order."""
        unknown = [index for index in indexes if (self._key, index) not in self._cache]
        missing = super().encode(prepared, unknown, batch)
        is_unknown = set(unknown)
        for index in indexes:
            known = None if index in is_unknown else self._recall(prepared, index)
            if known is None:
                source = missing if index in is_unknown else super().encode(prepared, [index])
                known = self._remember(next(source))
            yield known

    def map(self, encoded: EncodedSlice) -> SliceMap:
        """Score a slice against the bank, once."""
        if encoded.index not in self._maps:
            self._maps[encoded.index] = super().map(encoded)
        return self._maps[encoded.index]

    def forget(self) -> None:
        """Drop what is kept warm, to free memory."""
        self._cache.drop(self._key)
        self._maps.clear()

    def _remember(self, encoded: EncodedSlice) -> EncodedSlice:
        self.n_encoded += 1
        self._cache.put(self._key, encoded.index, encoded.embedding)
        return encoded

    def _recall(self, prepared: PreparedVolume, index: int) -> EncodedSlice | None:
        half = self._cache.get(self._key, index)
        if half is None:
            return None
        embedding = half.to(self.model.device).float()
        features = _FeaturesOnDemand(self, prepared, index, embedding)
        foreground = prepared.foreground_map(index)
        brightness = None
        if self.config.calibrated:
            raster = prepared.rasters([index], self.model.input_px, self.config)[0]
            brightness = smoothed_brightness(raster, foreground)
        return EncodedSlice(index, embedding, features, foreground, brightness, prepared.depth(index))


class _FeaturesOnDemand(dict[str, FloatArray]):
    """Patch features of a recalled slice, extracted when a map asks for them; decoding needs none."""

    def __init__(self, session: WarmSegmenter, prepared: PreparedVolume, index: int, embedding: Any) -> None:
        super().__init__()
        self._wanted = (session, prepared, index, embedding)

    def __missing__(self, kind: str) -> FloatArray:
        session, prepared, index, embedding = self._wanted
        rasters = prepared.rasters([index], session.model.input_px, session.config)
        foregrounds = [prepared.foreground_map(index)]
        found = extract_features(embedding[None], rasters, foregrounds, session.config)
        self.update({name: rows[0] for name, rows in found.items()})
        return self[kind]
