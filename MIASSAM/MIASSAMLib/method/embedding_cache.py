"""Half-precision image embeddings of many slices, for decoding again at once.

Memory is bounded: the embeddings unused for longest move to a folder of this process, which is
deleted on close. A lost or full folder only costs encoding again.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..arrays import AnyArray
from .spill_folder import SpillFolder

if TYPE_CHECKING:
    import torch

HalfArray = npt.NDArray[np.float16]
_Place = tuple[str, int]

DEFAULT_MEMORY_BYTES = 512 * 2**20
"""256 embeddings of 2 MiB."""
DEFAULT_DISK_BYTES = 8 * 2**30


def embedding_key(voxels_kji: AnyArray, *parts: str) -> str:
    """Return the key of a volume's embeddings: they change when any of these does.

    Args:
        voxels_kji: the voxels (K, J, I).
        parts: digests and words of the config, the preprocessing and the model.
    """
    digest = hashlib.blake2b(digest_size=16)
    for part in (*parts, str(voxels_kji.dtype), str(voxels_kji.shape)):
        digest.update(f"{len(part)}:{part}".encode())
    digest.update(np.ascontiguousarray(voxels_kji).data.cast("B"))
    return digest.hexdigest()


class EmbeddingCache:
    """Keeps embeddings by key and slice index. Use as a context manager, or call `close`.

    Safe to share between threads; two processes never share a folder.

    Args:
        memory_bytes: most bytes held in memory; the rest goes to disk.
        disk_bytes: most bytes written to disk; beyond it embeddings are forgotten.
        folder: where to make this process's own folder; None = the system's temporary folder.
    """

    def __init__(
        self,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        disk_bytes: int = DEFAULT_DISK_BYTES,
        folder: Path | None = None,
    ) -> None:
        self._memory_bytes, self._disk_bytes = memory_bytes, disk_bytes
        self._memory: OrderedDict[_Place, HalfArray] = OrderedDict()
        self._spilled: dict[_Place, int] = {}
        self._spill = SpillFolder(folder)
        self._lock = threading.RLock()
        self._is_open = True

    def put(self, key: str, index: int, embedding: torch.Tensor) -> None:
        """Keep the embedding (256, 64, 64) of a slice, as float16."""
        half = embedding.detach().half().cpu().contiguous().numpy().copy()
        with self._lock:
            self._forget((key, index))
            if self._is_open:
                self._memory[key, index] = half
                self._make_room()

    def get(self, key: str, index: int) -> torch.Tensor | None:
        """Return the embedding of a slice as float16 on the CPU, or None when it is not kept."""
        import torch

        with self._lock:
            half = self._recall((key, index))
        return None if half is None else torch.from_numpy(half)

    def drop(self, key: str) -> None:
        """Forget every slice of a volume."""
        with self._lock:
            for place in [place for place in (*self._memory, *self._spilled) if place[0] == key]:
                self._forget(place)

    def __contains__(self, place: _Place) -> bool:
        return place in self._memory or place in self._spilled

    def __len__(self) -> int:
        return len(self._memory) + len(self._spilled)

    @property
    def memory_used(self) -> int:
        """Bytes held in memory."""
        return sum(half.nbytes for half in self._memory.values())

    def close(self) -> None:
        """Forget everything and delete the folder; what is put afterwards is not kept."""
        with self._lock:
            self._is_open = False
            self._memory.clear()
            self._spilled.clear()
            self._spill.close()

    def __enter__(self) -> EmbeddingCache:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _recall(self, place: _Place) -> HalfArray | None:
        if place in self._memory:
            self._memory.move_to_end(place)
            return self._memory[place]
        if place not in self._spilled:
            return None
        half = self._spill.read(_file_name(place))
        self._forget(place)
        if half is not None:
            self._memory[place] = half
            self._make_room()
        return half

    def _make_room(self) -> None:
        """Move the embeddings unused for longest to disk until memory is within its bound."""
        while self.memory_used > self._memory_bytes and self._memory:
            place, half = self._memory.popitem(last=False)
            if sum(self._spilled.values()) + half.nbytes <= self._disk_bytes:
                with suppress(OSError):
                    self._spill.write(_file_name(place), half)
                    self._spilled[place] = half.nbytes

    def _forget(self, place: _Place) -> None:
        self._memory.pop(place, None)
        if self._spilled.pop(place, None) is not None:
            self._spill.delete(_file_name(place))


def _file_name(place: _Place) -> str:
    return f"{hashlib.blake2b(place[0].encode(), digest_size=12).hexdigest()}-{place[1]}.npy"
