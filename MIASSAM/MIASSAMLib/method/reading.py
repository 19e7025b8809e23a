"""One volume being worked on: prepared once, each slice encoded once and asked many times."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import BoolArray, FloatArray
from ..config import Config, MaskChoice, PromptKind
from ..errors import UsageError
from ..protocols import PatchSearcher, SamModel
from .embeddings import EmbeddingCache, embedding_key
from .features import EncodedSlice, contrast_maps, encode_slices, extract_features
from .prepare import PreparedVolume


@dataclass(frozen=True)
class SegmentOptions:
    """What a run may change without another bank.

    Attributes:
        slices: first and one-past-last slice index, or None for all.
        prompt, mask: None keeps the preset's.
        all_slices: segment every slice, as the paper does, even where nothing is unusual.
        sensitivity: share of normal volumes that may get any mark (calibrated presets).
        min_volume_ml: lesions smaller than this are left out (calibrated presets).
        batch: slices encoded at once; 0 chooses.
    """

    slices: tuple[int, int] | None = None
    prompt: PromptKind | None = None
    mask: MaskChoice | None = None
    all_slices: bool = False
    sensitivity: float = 0.05
    min_volume_ml: float = 0.0
    batch: int = 0


@dataclass
class Stopwatch:
    """Seconds by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time spent inside to a stage."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def waiting(self, items: Iterator[EncodedSlice], stage: str) -> Iterator[EncodedSlice]:
        """Pass items on, adding the time spent waiting for each to a stage."""
        while True:
            with self.stage(stage):
                item = next(items, None)
            if item is None:
                return
            yield item


def slice_range(n_slices: int, wanted: tuple[int, int] | None) -> range:
    """Return the slice indexes to segment.

    Raises:
        UsageError: the range selects no slice of the volume.
    """
    if wanted is None:
        return range(n_slices)
    selected = range(max(0, wanted[0]), min(n_slices, wanted[1]))
    if not selected:
        raise UsageError(f"slices {wanted[0]}:{wanted[1]} select nothing; this volume has slices 0:{n_slices}")
    return selected


class Reading:
    """A prepared volume beside a model and a bank.

    Image embeddings are rounded to half precision as soon as they are made, so that what is recalled from the cache
    gives the same masks as what was just encoded.

    Args:
        cache: keeps every slice's embedding, for decoding again; None keeps those that `rest` is told to keep.

    Attributes:
        maps: slice index -> maps float16, once they are known: (256, 256), of the calibrated way (kinds, 256, 256).
        clusters: slice index -> what the way found in the map, once it is known.
        own: what the volume says of itself, once it was measured; without a bank.
        others: further contrasts of the patient, each beside its own bank.
        n_encoded: how many slices went through the encoder.
    """

    def __init__(
        self,
        model: SamModel,
        bank: PatchSearcher | None,
        config: Config,
        prepared: PreparedVolume,
        cache: EmbeddingCache | None = None,
    ) -> None:
        self.model, self.bank, self.config, self.prepared = model, bank, config, prepared
        self.maps: dict[int, FloatArray] = {}
        self.clusters: dict[int, Any] = {}
        self.own: Any = None
        self.others: tuple[Reading, ...] = ()
        self.n_encoded = 0
        self._keeps_all = cache is not None
        self._cache = EmbeddingCache() if cache is None else cache
        self._key = "" if cache is None else self._cache_key()

    def _cache_key(self) -> str:
        volume = self.prepared.volume
        words = [str(self.prepared.plane.slice_axis), self.prepared.window.to_dict(), self.config.detour_px]
        return embedding_key(
            volume.voxels_kji, str(volume.ijk_to_ras.tolist()), json.dumps(words, sort_keys=True), self.model.digest
        )

    def slices(self, indexes: Sequence[int], batch: int = 0) -> Iterator[EncodedSlice]:
        """Yield slices in order, those not yet known through the encoder."""
        missing = encode_slices(
            self.model, self.prepared, [n for n in indexes if not self._knows(n)], self.config, batch
        )
        unknown = {index for index in indexes if not self._knows(index)}
        for index in indexes:
            if index in unknown:
                yield self._counted(next(missing))
            else:
                yield self._recalled(index) or self.slice(index)

    def slice(self, index: int) -> EncodedSlice:
        """Return one slice."""
        known = self._recalled(index) if self._knows(index) else None
        return known or self._counted(next(iter(encode_slices(self.model, self.prepared, [index], self.config))))

    def embedding(self, index: int) -> Any:
        """Return the image embedding (256, 64, 64) of a slice."""
        known = self._embedding(index)
        return self.slice(index).embedding if known is None else known

    def rest(self, encoded: EncodedSlice) -> None:
        """Keep a slice's embedding for later."""
        if not self._knows(encoded.index):
            self._cache.put(self._key, encoded.index, encoded.embedding)

    def forget(self) -> None:
        """Drop what is kept, to free memory."""
        self._cache.drop(self._key)
        self.maps.clear()
        self.clusters.clear()
        for other in self.others:
            other.forget()

    def _knows(self, index: int) -> bool:
        return (self._key, index) in self._cache

    def _counted(self, encoded: EncodedSlice) -> EncodedSlice:
        self.n_encoded += 1
        if self._keeps_all:
            self.rest(encoded)
        return encoded

    def _embedding(self, index: int) -> Any:
        half = self._cache.get(self._key, index)
        return None if half is None else half.to(self.model.device).float()

    def _recalled(self, index: int) -> EncodedSlice | None:
        embedding = self._embedding(index)
        if embedding is None:
            return None
        raster = self.prepared.rasters([index], self.model.input_px, self.config)
        foreground = self.prepared.foreground_map(index)
        features = _FeaturesOnDemand(self.config, embedding, raster, foreground)
        contrasts = contrast_maps(self.prepared, index, raster[0], self.config)
        return EncodedSlice(
            index, embedding, features, foreground, contrasts, self.prepared.depth(index),
            is_bounded=self.prepared.is_bounded,
        )  # fmt: skip


class _FeaturesOnDemand(Mapping[str, FloatArray]):
    """Patch features of a recalled slice, extracted when a map asks for them; decoding needs none."""

    def __init__(self, config: Config, embedding: Any, raster: FloatArray, foreground: BoolArray) -> None:
        self._wanted = (config, embedding, raster, foreground)
        self._found: dict[str, FloatArray] = {}

    def __getitem__(self, kind: str) -> FloatArray:
        if not self._found:
            config, embedding, raster, foreground = self._wanted
            found = extract_features(embedding[None], raster, [foreground], config)
            self._found = {name: np.asarray(rows[0]) for name, rows in found.items()}
        return self._found[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(self._wanted[0].features)

    def __len__(self) -> int:
        return len(self._wanted[0].features)
