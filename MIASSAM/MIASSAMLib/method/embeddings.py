"""Image embeddings that were paid for once: half-precision rows of one mapped file, for whoever asks again.

The file has no name (or, on Windows, is deleted on close), so it is gone when the process ends, however it ends.
A full disk, or more embeddings than fit, only costs encoding again.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import torch

from ..arrays import AnyArray, FloatArray
from ..protocols import Decoded, Prompts, SamModel

MAX_BYTES = 8 * 2**30
"""4,096 embeddings of 2 MiB."""
SHAPE = (256, 64, 64)
_Place = tuple[str, int]


def embedding_key(voxels_kji: AnyArray, *parts: str) -> str:
    """Return the key of a volume's embeddings: it changes when any of these does.

    Args:
        voxels_kji: the voxels (K, J, I), or any other array that is encoded.
        parts: digests and words of the config, the preprocessing and the model.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (*parts, str(voxels_kji.dtype), str(voxels_kji.shape)):
        digest.update(f"{len(part)}:{part}".encode())
    digest.update(np.ascontiguousarray(voxels_kji).data.cast("B"))
    return digest.hexdigest()


class EmbeddingCache:
    """Keeps embeddings by key and slice index; safe to share between threads. A context manager, or call `close`.

    Args:
        max_bytes: most bytes of the file; beyond it the embedding unused for longest gives its place.
        folder: where the file lies; None = the system's temporary folder.
        shape: shape of every embedding.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, folder: Path | None = None, shape: tuple[int, ...] = SHAPE) -> None:
        self._shape, self._folder = shape, folder
        self._slot_bytes = 2 * int(np.prod(shape))
        self._n_slots = max_bytes // self._slot_bytes
        self._slots: OrderedDict[_Place, int] = OrderedDict()
        self._free: list[int] = []
        self._file: IO[bytes] | None = None
        self._lock = threading.RLock()

    def put(self, key: str, index: int, embedding: torch.Tensor) -> None:
        """Keep the embedding of a slice as float16, in the place of the one unused for longest if need be."""
        half = np.ascontiguousarray(embedding.detach().half().cpu().numpy()).reshape(self._shape)
        with self._lock:
            self._forget((key, index))
            if self.is_full and self._slots:
                self._forget(next(iter(self._slots)))
            slot = self._free.pop() if self._free else len(self._slots)
            try:
                if slot < self._n_slots:
                    self._write(slot, half)
                    self._slots[key, index] = slot
            except OSError:  # no room on the disk, or no folder: go on with what is kept
                self._n_slots = len(self._slots)

    def get(self, key: str, index: int) -> torch.Tensor | None:
        """Return the embedding of a slice as float16 on the CPU, or None when it is not kept."""
        with self._lock:
            slot = self._slots.get((key, index))
            if slot is None:
                return None
            self._slots.move_to_end((key, index))
            place: Any = self._file
            mapped = np.memmap(place, np.float16, "r", slot * self._slot_bytes, self._shape)
            return torch.from_numpy(np.array(mapped))

    @staticmethod
    def rounded(embedding: torch.Tensor) -> torch.Tensor:
        """Return what would be kept of an embedding."""
        return embedding.half()

    def drop(self, key: str) -> None:
        """Forget every slice of a volume."""
        with self._lock:
            for place in [place for place in self._slots if place[0] == key]:
                self._forget(place)

    def __contains__(self, place: _Place) -> bool:
        return place in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def is_full(self) -> bool:
        """Tell whether another embedding takes the place of an older one."""
        return len(self._slots) >= self._n_slots

    def close(self) -> None:
        """Forget everything and delete the file; what is put afterwards is not kept."""
        with self._lock:
            self._n_slots = 0
            self._slots.clear()
            if self._file is not None:
                self._file.close()

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _forget(self, place: _Place) -> None:
        if (slot := self._slots.pop(place, None)) is not None:
            self._free.append(slot)

    def _write(self, slot: int, half: AnyArray) -> None:
        """Write, not through the map: a full disk is then an error in words and not the end of the process."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="miassam-", dir=self._folder, buffering=0)  # noqa: SIM115
        self._file.seek(slot * self._slot_bytes)
        data = half.data.cast("B")
        while written := self._file.write(data):
            data = data[written:]


class RecentEmbeddings:
    """Keeps the embeddings used last, in memory and as they are, so that masks are those of a model that forgets."""

    is_full = False

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._kept: OrderedDict[_Place, torch.Tensor] = OrderedDict()

    def put(self, key: str, index: int, embedding: torch.Tensor) -> None:
        """Keep an embedding, 4 MiB, in the place of the one unused for longest if need be."""
        self._kept[key, index] = embedding
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def get(self, key: str, index: int) -> torch.Tensor | None:
        """Return an embedding, or None when it is not kept."""
        if (key, index) not in self._kept:
            return None
        self._kept.move_to_end((key, index))
        return self._kept[key, index]

    @staticmethod
    def rounded(embedding: torch.Tensor) -> torch.Tensor:
        """Return what would be kept of an embedding."""
        return embedding


class EncodeOnceModel:
    """A model that encodes each raster once, whoever asks; new embeddings are rounded as the cache's are.

    When a cache of half precision is full the first stay: an evaluation asks in rounds.
    """

    def __init__(self, model: SamModel, cache: EmbeddingCache | RecentEmbeddings) -> None:
        self.name, self.digest, self.input_px = model.name, model.digest, model.input_px
        self.n_encoded = 0
        self._model, self._cache = model, cache

    @property
    def device(self) -> str:
        """The device really used."""
        return self._model.device

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return image embeddings (B, 256, 64, 64), kept or new."""
        boxes = [None] * len(rasters) if content_boxes is None else content_boxes
        keys = [embedding_key(raster, self.digest, str(box)) for raster, box in zip(rasters, boxes, strict=True)]
        found = [self._cache.get(key, 0) for key in keys]
        if missing := [row for row, half in enumerate(found) if half is None]:
            fresh = self._model.encode(rasters[missing], None if content_boxes is None else content_boxes[missing])
            self.n_encoded += len(missing)
            for row, embedding in zip(missing, fresh, strict=True):
                found[row] = self._cache.rounded(embedding)
                if not self._cache.is_full:
                    self._cache.put(keys[row], 0, embedding)
        return torch.stack([half.to(self.device).float() for half in found if half is not None])

    def decode(self, embedding: torch.Tensor, prompts: Prompts) -> Decoded:
        """Decode with the wrapped model."""
        return self._model.decode(embedding, prompts)
