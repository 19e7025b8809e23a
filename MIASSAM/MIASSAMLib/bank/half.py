"""Float16 rows on disk, searched exactly by torch."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arrays import FloatArray
from ..errors import BankError
from .files import write_npy
from .rows import Rows
from .search_torch import TorchSearcher

_HALF_MAX = float(np.finfo(np.float16).max)


def write_half(path: Path, rows: Rows) -> None:
    """Write all rows as a float16 npy file.

    Raises:
        BankError: a number is too large for float16.
    """
    write_npy(path, (len(rows), rows.dimension), np.float16, (to_half(chunk) for chunk in rows.chunks()))


def to_half(rows: FloatArray) -> FloatArray:
    """Return rows as float16.

    Raises:
        BankError: a number is too large.
    """
    if rows.size and (largest := float(np.abs(rows).max())) > _HALF_MAX:
        raise BankError(f"patches hold {largest:g}, more than half precision can ({_HALF_MAX:g}); build uncompressed")
    return rows.astype(np.float16)


def open_half(path: Path, device: str = "cpu", resident: bool = True) -> TorchSearcher:
    """Open a file written by `write_half`.

    Raises:
        BankError: the file cannot be read.
    """
    try:
        rows = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise BankError(f"{path} cannot be read; restore or rebuild the bank") from error
    return TorchSearcher(rows, device, resident)
