"""Compressed rows: a short list by a Faiss index of the strongest axes, re-scored on 8-bit codes of whole rows.

Faiss's own strings make both (docs/adr/0004): `PCA64,IVF...,SQ8` stays in memory, about 80 bytes a row; the
codes, a byte a number, are mapped from disk, where a search touches only the rows of its short lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from ..protocols import Progress, no_progress
from .exact import read_index, write_codes
from .quality import HeldOut, measure
from .rows import CHUNK_ROWS, LOW_DIMENSION, Rows, faiss

_TRAIN_ROWS = 50_000
_ROWS_PER_LIST = 40
_MAX_LISTS = 8192
_SHORT_AXES = 64


class CompressedSearcher:
    """Nearest rows among compressed ones.

    Args:
        index: the Faiss index that makes the short lists.
        codes: the Faiss index of the whole rows' codes, which re-scores them.
        effort: lists searched per query (`n_probe`), and length of the short list (`n_short`).
    """

    def __init__(self, index: Any, codes: Any, effort: tuple[int, int] = (32, 32)) -> None:
        self._codes, self._refined = codes, faiss().IndexRefine(index, codes)
        self.n_probe, self.n_short = effort
        self.n_rows, self.dimension = int(codes.ntotal), int(codes.d)
        self.n_lists = int(faiss().extract_index_ivf(index).nlist)

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        return f"inverted file ({self.n_probe} of {self.n_lists} lists), short list of {self.n_short} re-scored"

    def search(self, queries: FloatArray, excluded: AnyArray | None = None) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`; without the rows [first, last) of `excluded` (Q, 2), of the query's source."""
        if excluded is None:
            return self._search(queries, {})
        distances, winners = np.empty(len(queries), np.float32), np.empty(len(queries), np.int64)
        for span in np.unique(excluded, axis=0):
            own = (excluded == span).all(axis=1)
            others = faiss().IDSelectorNot(faiss().IDSelectorRange(*span.tolist()))
            distances[own], winners[own] = self._search(queries[own], {"sel": others})
        return distances, winners

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """See `RowSearcher.rows_at`; up to the codes' rounding."""
        return np.asarray(self._codes.reconstruct_batch(numbers))

    def _search(self, queries: FloatArray, options: dict[str, Any]) -> tuple[FloatArray, AnyArray]:
        lists = faiss().SearchParametersIVF(nprobe=min(self.n_probe, self.n_lists), **options)
        turned = faiss().SearchParametersPreTransform(index_params=lists)
        params = faiss().IndexRefineSearchParameters(k_factor=float(self.n_short), base_index_params=turned)
        distances, winners = (found[:, 0] for found in self._refined.search(queries, 1, params=params))
        return np.where(winners < 0, np.float32(np.inf), distances), winners


def write_compressed(
    paths: Mapping[str, Path], rows: Rows, held_out: HeldOut, seed: int, progress: Progress = no_progress
) -> dict[str, Any]:
    """Compress all rows (M, D) into files and return the measured quality; `paths`: by role."""
    codec, index = _trained(rows, seed)
    faiss().write_index(codec, str(paths["codes"]))
    header = paths["codes"].read_bytes()
    write_codes(paths["codes"], header, codec.code_size, len(rows), _coded(codec, index, rows, 0, progress))
    searcher = CompressedSearcher(index, read_index(paths["codes"], is_mapped=True))
    quality = _tune(searcher, held_out, rows)
    faiss().write_index(index, str(paths["index"]))
    return {**quality, "n_probe": searcher.n_probe, "n_short": searcher.n_short}


def open_compressed(paths: Mapping[str, Path], quality: Mapping[str, Any]) -> CompressedSearcher:
    """Open what `write_compressed` wrote; the codes stay on disk.

    Raises:
        BankError: a file cannot be read, or the files do not belong together.
    """
    index, codes = read_index(paths["index"]), read_index(paths["codes"], is_mapped=True)
    n_probe, n_short = (quality.get(name) for name in ("n_probe", "n_short"))
    if not isinstance(index, faiss().IndexPreTransform) or not faiss().try_extract_index_ivf(index):
        raise BankError(f"{paths['index']} holds no turned inverted file; restore or rebuild the bank")
    fits = isinstance(codes, faiss().IndexScalarQuantizer) and (index.ntotal, index.d) == (codes.ntotal, codes.d)
    if not fits or type(n_probe) is not int or type(n_short) is not int:
        raise BankError(f"{paths['index']} and {paths['codes']} do not belong together; restore or rebuild the bank")
    return CompressedSearcher(index, codes, (min(max(n_probe, 1), 1 << 16), min(max(n_short, 1), 1024)))


def extend_compressed(old: Mapping[str, Path], new: Mapping[str, Path], rows: Rows, n_old: int) -> None:
    """Write files of all rows, the first `n_old` of which are already compressed in the old files.

    Those are coded a second time: a code stands for the middle of its interval, so it comes out the same.
    """
    index, codec = read_index(old["index"]), read_index(old["codes"], is_mapped=True)
    with old["codes"].open("rb") as file:
        header = file.read(old["codes"].stat().st_size - codec.ntotal * codec.code_size)
    write_codes(new["codes"], header, codec.code_size, len(rows), _coded(codec, index, rows, n_old, no_progress))
    faiss().write_index(index, str(new["index"]))


def _trained(rows: Rows, seed: int) -> tuple[Any, Any]:
    """Return codec and index, both without rows."""
    generator, is_long = np.random.default_rng(seed), rows.dimension > LOW_DIMENSION
    sample = rows.at(_picked(rows, _TRAIN_ROWS, generator))
    codec: Any = faiss().index_factory(rows.dimension, "SQ8" if is_long else "SQfp16")
    codec.train(sample)
    n_lists = int(np.clip(2 ** round(np.log2(4 * np.sqrt(len(rows)))), 1, min(_MAX_LISTS, len(rows))))
    n_axes = min(_SHORT_AXES, rows.dimension)
    lists: Any = faiss().index_factory(n_axes, f"IVF{n_lists},SQ8")
    lists.cp.seed, lists.cp.niter, lists.cp.min_points_per_centroid = seed, 8, 1
    turn = faiss().PCAMatrix(rows.dimension, n_axes)
    turn.train(sample)
    picked = _picked(rows, n_lists * _ROWS_PER_LIST, generator)
    parts = np.array_split(picked, -(-len(picked) // CHUNK_ROWS))
    lists.train(np.concatenate([turn.apply(rows.at(part)) for part in parts]))
    return codec, faiss().IndexPreTransform(turn, lists)


def _picked(rows: Rows, wanted: int, generator: np.random.Generator) -> AnyArray:
    return np.sort(generator.choice(len(rows), min(wanted, len(rows)), replace=False))


def _coded(codec: Any, index: Any, rows: Rows, n_listed: int, progress: Progress) -> Iterator[AnyArray]:
    """Yield the codes of all rows, and add those behind the first `n_listed` to the lists."""
    done = 0
    for chunk in rows.chunks():
        index.add(chunk[max(n_listed - done, 0) :])
        yield codec.sa_encode(chunk)
        done += len(chunk)
        progress("compressing patches", done, len(rows))


def _tune(searcher: CompressedSearcher, held_out: HeldOut, rows: Rows) -> dict[str, Any]:
    """Search more lists, then longer short lists, until the held-out recall no longer gains."""
    quality = measure(held_out, searcher.search, rows)
    for knob, limit in {"n_probe": searcher.n_lists, "n_short": 256}.items():
        while quality["recall_at_1"] < 1 and 2 * getattr(searcher, knob) <= limit:
            setattr(searcher, knob, 2 * getattr(searcher, knob))
            better = measure(held_out, searcher.search, rows)
            if better["recall_at_1"] < quality["recall_at_1"] + 0.002:
                setattr(searcher, knob, getattr(searcher, knob) // 2)
                break
            quality = better
    return quality
