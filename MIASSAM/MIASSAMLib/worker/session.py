"""A volume being worked on: every slice is encoded and searched once, then asked many times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..config import Config
from ..pipeline import EncodedSlice, PreparedVolume, Preprocessing, Segmenter, SliceMap
from ..protocols import PatchSearcher, SamModel
from ..volume import Volume

MEMORY_BYTES = 3 * 2**30
"""Embeddings kept warm per session; slices beyond it are encoded again when they are asked for."""


class WarmSegmenter(Segmenter):
    """A segmenter of one volume that remembers image embeddings and maps.

    `n_encoded` counts the slices that went through the encoder.
    """

    def __init__(
        self,
        model: SamModel,
        bank: PatchSearcher | None,
        config: Config,
        preprocessing: Preprocessing,
        volume: Volume,
    ) -> None:
        super().__init__(model, bank, config, preprocessing)
        self.volume = volume
        self.n_encoded = 0
        self._prepared: PreparedVolume | None = None
        self._encoded: dict[int, EncodedSlice] = {}
        self._maps: dict[int, SliceMap] = {}
        self._bytes = 0

    def prepare(self, volume: Volume) -> PreparedVolume:
        """Prepare the session's volume once."""
        if volume is not self.volume:
            return super().prepare(volume)
        if self._prepared is None:
            self._prepared = super().prepare(volume)
        return self._prepared

    def encode(self, prepared: PreparedVolume, indexes: Sequence[int], batch: int = 0) -> Iterator[EncodedSlice]:
        """Encode the slices not yet known, and return all in order."""
        missing = iter(())  # type: Iterator[EncodedSlice]
        unknown = [index for index in indexes if index not in self._encoded]
        if unknown:
            missing = super().encode(prepared, unknown, batch)
        for index in indexes:
            known = self._encoded.get(index)
            yield known if known is not None else self._remember(next(missing))

    def map(self, encoded: EncodedSlice) -> SliceMap:
        """Score a slice against the bank, once."""
        if encoded.index not in self._maps:
            self._maps[encoded.index] = super().map(encoded)
        return self._maps[encoded.index]

    def forget(self) -> None:
        """Drop what is kept warm, to free memory."""
        self._encoded.clear()
        self._maps.clear()
        self._bytes = 0

    def _remember(self, encoded: EncodedSlice) -> EncodedSlice:
        self.n_encoded += 1
        size = encoded.embedding.element_size() * encoded.embedding.nelement()
        if self._bytes + size <= MEMORY_BYTES:
            self._encoded[encoded.index] = encoded
            self._bytes += size
        return encoded
