"""How the rows of a kind are stored: none, half or compressed; chosen by size, written and opened."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from ..arrays import AnyArray, FloatArray
from ..errors import BankError, UsageError
from ..protocols import Progress, no_progress
from .compressed import extend_compressed, open_compressed, write_compressed
from .exact import load_flat, write_flat
from .half import open_half, write_half
from .manifest import KindRecord
from .quality import find_held_out, measure
from .rows import LOW_DIMENSION, Rows

Compress = Literal["auto", "none", "half", "compressed"]
COMPRESS_CHOICES: tuple[Compress, ...] = ("auto", "none", "half", "compressed")

_GIB = 1 << 30
_EXACT_ROWS = 30_000
"""From here on the short lists of a compressed bank are faster than the exact search (docs/adr/0002)."""
_TREE_ROWS = 500_000
"""Rows of few numbers are searched in a k-d tree, in milliseconds, up to here."""


class RowSearcher(Protocol):
    """Finds the nearest stored row of each query.

    Attributes:
        n_rows, dimension: shape (M, D) of the stored rows.
    """

    n_rows: int
    dimension: int

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        ...

    def search(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """Return squared L2 distances (Q,) float32 and row numbers (Q,) int64 for queries (Q, D)."""
        ...

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """Return the stored rows (N, D) float32 of row numbers (N,)."""
        ...


def spool_dtype(compress: Compress, dimension: int) -> str:
    """Return the type in which a build keeps rows until it ends."""
    return "float16" if compress in ("half", "compressed") and dimension > LOW_DIMENSION else "float32"


def choose_storage(wanted: Compress, n_rows: int, dimension: int) -> tuple[str, str]:
    """Return the storage of a kind and the reason in words.

    Args:
        wanted: "auto" decides by size and by the machine's memory and graphics card.
    """
    if wanted not in COMPRESS_CHOICES:
        raise UsageError(f"storage '{wanted}' is unknown; choose one of {', '.join(COMPRESS_CHOICES)}")
    n_bytes, size = n_rows * dimension * 4, f"{n_rows} x {dimension} numbers, {_in_words(n_rows * dimension * 4)}"
    if dimension <= LOW_DIMENSION and wanted != "compressed":
        many = wanted == "auto" and n_rows > _TREE_ROWS
        return ("compressed", f"{size}: many short rows") if many else ("none", f"{size}: short rows stay exact")
    if wanted != "auto":
        return wanted, f"{size}: asked for"
    if n_rows <= _EXACT_ROWS and n_bytes <= _free_memory() // 4:
        return "none", f"{size}: small, so kept exact in float32"
    if (card := _card_memory()) >= n_bytes // 2 + 4 * _GIB:
        return "half", f"{size}: large, and half of it fits the graphics card ({_in_words(card)})"
    return (
        "compressed",
        f"{size}: short lists are faster than the exact search ({_in_words(_free_memory())} free)",
    )


def write_storage(
    base: Path, rows: Rows, choice: tuple[str, str], seed: int = 0, progress: Progress = no_progress
) -> KindRecord:
    """Write rows and return their record; paths of files begin with `base`."""
    storage, reason = choice
    files = _file_names(storage, base.name)
    paths = {role: base.with_name(name) for role, name in files.items()}
    quality: dict[str, Any] = {"exact": True}
    if storage == "none":
        write_flat(paths["index"], (len(rows), rows.dimension), rows.chunks())
    elif storage == "half":
        write_half(paths["rows"], rows)
        searcher = open_half(paths["rows"], resident=False)
        quality |= measure(find_held_out(rows, seed), searcher.search, rows)
    else:
        quality = write_compressed(paths, rows, find_held_out(rows, seed), seed, progress)
    return KindRecord(storage, reason, len(rows), rows.dimension, files, quality)


def extend_storage(folder: Path, stem: str, rows: Rows, old_folder: Path, old: KindRecord) -> KindRecord:
    """Add the rows behind an old compressed kind's, with its codec; `rows` begins with the old ones."""
    files = _file_names(old.storage, stem)
    extend_compressed(
        {role: old_folder / old.files[role] for role in files},
        {role: folder / name for role, name in files.items()},
        rows,
        old.n_patches,
    )
    quality = {**old.quality, "measured_on_first_patches": old.quality.get("measured_on_first_patches", old.n_patches)}
    return KindRecord(old.storage, old.storage_reason, len(rows), rows.dimension, files, quality)


def open_storage(folder: Path, record: KindRecord, device: str = "cpu") -> RowSearcher:
    """Open the rows of a kind for searching.

    Raises:
        BankError: a file cannot be read, or holds other rows than the record says.
    """
    if missing := set(_file_names(record.storage, "")) - set(record.files):
        raise BankError(f"{folder} names no file for {', '.join(sorted(missing))}; restore or rebuild the bank")
    paths = {role: folder / name for role, name in record.files.items()}
    if record.storage == "none":
        searcher: RowSearcher = load_flat(paths["index"], device)
    elif record.storage == "half":
        device = _torch_device(device)
        searcher = open_half(paths["rows"], device, _fits_memory(record, device))
    else:
        searcher = open_compressed(paths, record.quality)
    if (searcher.n_rows, searcher.dimension) != (record.n_patches, record.dimension):
        raise BankError(
            f"{next(iter(paths.values()))} holds {searcher.n_rows} x {searcher.dimension} numbers and the "
            f"manifest says {record.n_patches} x {record.dimension}; restore or rebuild the bank"
        )
    return searcher


def _file_names(storage: str, stem: str) -> Mapping[str, str]:
    return {
        "none": {"index": f"{stem}.faiss"},
        "half": {"rows": f"{stem}.half.npy"},
        "compressed": {"index": f"{stem}.faiss", "codes": f"{stem}.codes.faiss"},
    }[storage]


def _torch_device(word: str) -> str:
    """Return the device that should search: a graphics card only where torch sees it."""
    import torch

    if word in ("auto", "cuda") or word.startswith("cuda:"):
        if torch.cuda.is_available():
            return "cuda" if word == "auto" else word
        return "mps" if word == "auto" and torch.backends.mps.is_available() else "cpu"
    return word


def _fits_memory(record: KindRecord, device: str) -> bool:
    n_bytes = record.n_patches * record.dimension * 2
    if device.startswith("cuda"):
        return _card_memory() >= n_bytes + 2 * _GIB
    return n_bytes <= _free_memory() // 2


def _free_memory() -> int:
    import psutil

    return int(psutil.virtual_memory().available)


def _card_memory() -> int:
    import torch

    return int(torch.cuda.mem_get_info()[0]) if torch.cuda.is_available() else 0


def _in_words(n_bytes: int) -> str:
    return f"{n_bytes / _GIB:.1f} GiB" if n_bytes >= _GIB // 10 else f"{n_bytes / (1 << 20):.1f} MiB"
