"""Float16 rows on disk, searched exactly by matrix products in torch: CUDA, Apple GPUs, CPUs that multiply bfloat16.

Features are centered, products run in half precision, and the best candidates of each query are scored
again in float32 on the stored rows.
"""

from __future__ import annotations

import functools
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from .quality import mask_excluded
from .rows import READ_ERRORS, ReadRows, Rows, squared_distances, to_half, write_npy

_BLOCK_ROWS = 32
"""Rows of which only the best goes into the short list; neighbors in a bank are alike, so larger blocks lose some."""
_CHUNK_ROWS = {"cpu": 8192, "mps": 65536, "cuda": 131072}
_N_SHORT = 32


def write_half(path: Path, rows: Rows) -> None:
    """Write all rows as a float16 npy file.

    Raises:
        BankError: a number is too large for float16.
    """
    write_npy(path, (len(rows), rows.dimension), np.float16, (to_half(chunk) for chunk in rows.chunks()))


def open_half(path: Path, device: str = "cpu", resident: bool = True) -> TorchSearcher:
    """Open a file written by `write_half`; the rows stay on disk.

    Raises:
        BankError: the file cannot be read.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except READ_ERRORS as error:
        raise BankError(f"{path} cannot be read; restore or rebuild the bank") from error
    if rows.ndim != 2 or rows.dtype != np.float16:
        raise BankError(f"{path} holds {rows.dtype} of shape {rows.shape}, not rows; restore or rebuild the bank")
    return TorchSearcher(rows, device, resident)


class TorchSearcher:
    """Nearest rows by chunked half-precision products.

    Args:
        rows: float16 or float32 (M, D), usually a memory map, read again for the re-scoring.
        device: torch device; the centered half-precision copy lives there.
        resident: keep that copy in memory; otherwise rows are converted chunk by chunk at every search.
    """

    def __init__(self, rows: AnyArray, device: str = "cpu", resident: bool = True) -> None:
        import torch

        self._rows = rows
        self._device = torch.device(device)
        self._dtype = product_dtype(self._device.type)
        self.n_rows, self.dimension = rows.shape
        sample = self.rows_at(np.arange(0, self.n_rows, max(self.n_rows // 4096, 1)))
        self._mean = sample.mean(axis=0)
        spread = float(np.abs(sample - self._mean).max(initial=0))
        self._scale = np.float32(1 / spread if spread > 0 else 1)
        self._chunk_rows = _CHUNK_ROWS[self._device.type]
        self._resident = [self._prepare(start) for start in self._starts()] if resident else []

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        return f"torch on {self._device} in {str(self._dtype).removeprefix('torch.')}, re-scored in float32"

    def search(self, queries: FloatArray, excluded: AnyArray | None = None) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`; without the rows [first, last) of `excluded` (Q, 2)."""
        import torch

        centered = torch.from_numpy((queries - self._mean) * self._scale).to(self._device, self._dtype).T.contiguous()
        scores = torch.empty((0, len(queries)), device=self._device)
        numbers = torch.empty((0, len(queries)), dtype=torch.int64, device=self._device)
        for place, start in enumerate(self._starts()):
            chunk, norms = self._resident[place] if self._resident else self._prepare(start)
            lowest, where = _block_winners(chunk, norms, centered, start, excluded)
            scores, places = torch.cat([scores, lowest]).topk(min(_N_SHORT, len(scores) + len(lowest)), 0, False)
            numbers = torch.cat([numbers, where]).gather(0, places)
        short = numbers.where(~scores.isinf(), -1).T.cpu().numpy()
        return _rescored(queries, short, self.rows_at)

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """See `RowSearcher.rows_at`."""
        return np.asarray(self._rows[numbers], np.float32)

    def _starts(self) -> range:
        return range(0, self.n_rows, self._chunk_rows)

    def _prepare(self, start: int) -> tuple[Any, Any]:
        import torch

        rows = self.rows_at(np.arange(start, min(start + self._chunk_rows, self.n_rows)))
        chunk = torch.from_numpy((rows - self._mean) * self._scale)
        norms = (chunk * chunk).sum(dim=1).to(self._device)
        return chunk.to(self._device, self._dtype), norms


def _rescored(queries: FloatArray, short: AnyArray, read: ReadRows) -> tuple[FloatArray, AnyArray]:
    """Return the least squared distance (Q,) and its row number (Q,) of short lists (Q, C), -1 = none."""
    distances = [squared_distances(queries, read(np.maximum(column, 0))) for column in short.T]
    listed = np.where(short.T < 0, np.inf, np.stack(distances))
    best = (listed.argmin(axis=0), np.arange(len(queries)))
    return listed[best].astype(np.float32), short.T[best]


def _block_winners(chunk: Any, norms: Any, queries: Any, start: int, excluded: AnyArray | None) -> tuple[Any, Any]:
    """Return the lowest score and its row number of every block of rows, for every query: (blocks, Q)."""
    import torch

    products = chunk @ queries
    scores = torch.add(norms[:, None], products, alpha=-2)
    if excluded is not None:
        mask_excluded(scores, excluded - start)
    n_rows, n_queries = scores.shape
    if padding := -n_rows % _BLOCK_ROWS:
        scores = torch.cat([scores, scores.new_full((padding, n_queries), torch.inf)])
    lowest, where = scores.view(-1, _BLOCK_ROWS, n_queries).min(dim=1)
    offsets = torch.arange(0, len(scores), _BLOCK_ROWS, device=where.device)
    return lowest, where + offsets[:, None] + start


@functools.cache
def product_dtype(device_type: str) -> Any:
    """Return the fastest torch type for products: float16 on GPUs; on a CPU bfloat16 where it wins."""
    import torch

    if device_type != "cpu":
        return torch.float16
    return min((torch.float32, torch.bfloat16), key=_time_product)


def _time_product(dtype: Any) -> float:
    import torch

    first, second = torch.ones(1024, 512, dtype=dtype), torch.ones(512, 256, dtype=dtype)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        first @ second
        times.append(time.perf_counter() - begin)
    return min(times)
