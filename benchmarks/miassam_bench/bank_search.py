"""The search: the package's bank beside Faiss's flat index, as the bank grows."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.bank import BankWriter, ManifestDraft, MemoryBank
from MIASSAMLib.config import preset

from .rows import Row
from .synthetic_rows import RowModel
from .timing import Effort, race

_QUERIES, _FIRST_QUERY, _HELD_OUT_VOLUME = 1024, 16 * 1024, 1_000_000
_PIECE = 10_240


def bank_rows(effort: Effort, sizes: tuple[int, ...], device: str) -> Iterator[Row]:
    """Measure one slice's 1,024 queries in banks of growing size."""
    queries = RowModel().volume(_HELD_OUT_VOLUME)[_FIRST_QUERY : _FIRST_QUERY + _QUERIES]
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="miassam-bench-") as folder:
            yield _search_row(Path(folder), size, queries, effort, device)


def _search_row(folder: Path, size: int, queries: FloatArray, effort: Effort, device: str) -> Row:
    import faiss

    rows = np.concatenate([rows for _, rows in RowModel().volumes(size)])
    bank = _written_bank(folder / "bench.bank", rows, device)
    flat = faiss.IndexFlatL2(rows.shape[1])
    flat.add(rows)
    times = race(
        {"bank": lambda: bank.search("embedding", queries), "flat": lambda: flat.search(queries, 1)}, effort, device
    )
    words = f"bank search, {size:,} patches, {bank.search_method('embedding')}"
    return Row.of_times(words, "", device, times["bank"], times["flat"])


def _written_bank(path: Path, rows: FloatArray, device: str) -> MemoryBank:
    config = preset("paper")
    draft = ManifestDraft(config.preset, config.to_dict(), config.digest(), "benchmark", "0" * 64)
    writer = BankWriter(path, draft)
    for first in range(0, len(rows), _PIECE):
        writer.add(f"volume{first}", {"embedding": rows[first : first + _PIECE]})
    writer.finish()
    return MemoryBank.load(path, verify=False, device=device)
