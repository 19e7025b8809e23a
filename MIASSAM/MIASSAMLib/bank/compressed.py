"""Compressed rows: a short list by a Faiss index of the strongest axes, re-scored on 8-bit codes of whole rows.

Faiss's own strings make both (docs/adr/0004): `PCA64,IVF...,SQ8` stays in memory, about 80 bytes a row; the
codes, a byte a number, stay on disk, where a search reads only the rows of its short lists.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from ..protocols import Progress, no_progress
from .exact import read_index
from .quality import HeldOut, measure
from .rows import CHUNK_ROWS, LOW_DIMENSION, RowFile, Rows, open_npy, squared_distances, write_npy

_TRAIN_ROWS = 50_000
_ROWS_PER_LIST = 40
_MAX_LISTS = 8192
_SHORT_AXES = 64
_BLOCK_QUERIES = 64


class CompressedSearcher:
    """Nearest rows among compressed ones.

    Args:
        index: the Faiss index that makes the short lists.
        codec: the empty Faiss index that made the codes.
        codes: uint8 (M, code bytes), an array or the rows of a file.
        effort: lists searched per query (`n_probe`), and length of the short list (`n_short`).
    """

    def __init__(self, index: Any, codec: Any, codes: AnyArray | RowFile, effort: tuple[int, int] = (32, 32)) -> None:
        import faiss

        self._index, self._codec, self._codes = index, codec, codes
        self.n_probe, self.n_short = effort
        self.n_rows, self.dimension = len(codes), int(codec.d)
        self.n_lists = int(faiss.extract_index_ivf(index).nlist)

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        return f"inverted file ({self.n_probe} of {self.n_lists} lists), short list of {self.n_short} re-scored"

    def search(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`."""
        return self.search_excluding(queries, None)

    def search_excluding(self, queries: FloatArray, excluded: AnyArray | None) -> tuple[FloatArray, AnyArray]:
        """Search without the rows [first, last) of `excluded` (Q, 2), which belong to the query's source."""
        candidates = self._short_lists(queries, excluded)
        parts = [
            self._rescored(queries[start : start + _BLOCK_QUERIES], candidates[start : start + _BLOCK_QUERIES])
            for start in range(0, len(queries), _BLOCK_QUERIES)
        ]
        distances, winners = zip(*parts, strict=True)
        return np.concatenate(distances), np.concatenate(winners)

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """See `RowSearcher.rows_at`; up to the codes' rounding."""
        return np.asarray(self._codec.sa_decode(self._codes[numbers]))

    def _short_lists(self, queries: FloatArray, excluded: AnyArray | None) -> AnyArray:
        """Return row numbers (Q, n_short), -1 where there are fewer."""
        if excluded is None:
            return np.asarray(self._index.search(queries, self.n_short, params=self._parameters(None))[1])
        found = np.full((len(queries), self.n_short), -1, np.int64)
        for span in np.unique(excluded, axis=0):
            own = (excluded == span).all(axis=1)
            found[own] = self._index.search(queries[own], self.n_short, params=self._parameters(span))[1]
        return found

    def _parameters(self, excluded: AnyArray | None) -> Any:
        import faiss

        options: dict[str, Any] = {"nprobe": min(self.n_probe, self.n_lists)}
        if excluded is not None:
            options["sel"] = faiss.IDSelectorNot(faiss.IDSelectorRange(int(excluded[0]), int(excluded[1])))
        turned: dict[str, Any] = {"index_params": faiss.SearchParametersIVF(**options)}
        return faiss.SearchParametersPreTransform(**turned)

    def _rescored(self, queries: FloatArray, candidates: AnyArray) -> tuple[FloatArray, AnyArray]:
        """Return the least distance (Q,) and its row number (Q,) of candidates (Q, n_short)."""
        numbers, places = np.unique(np.maximum(candidates, 0), return_inverse=True)
        rows, places, each = self.rows_at(numbers), places.reshape(candidates.shape), np.arange(len(queries))
        centered = rows - queries.mean(axis=0)
        scores = np.einsum("nd,nd->n", centered, centered)[:, None] - 2 * centered @ (queries - queries.mean(axis=0)).T
        listed = np.where(candidates < 0, np.inf, scores[places, each[:, None]])
        best = (each, listed.argmin(axis=1))
        distances = squared_distances(queries, rows[places[best]])
        return np.where(candidates[best] < 0, np.inf, distances), candidates[best]


def write_compressed(
    paths: Mapping[str, Path], rows: Rows, held_out: HeldOut, seed: int, progress: Progress = no_progress
) -> dict[str, Any]:
    """Compress all rows (M, D) into files and return the measured quality; `paths`: by role."""
    import faiss

    codec, index = _trained(rows, seed)
    faiss.write_index(codec, str(paths["codec"]))
    write_npy(paths["rows"], (len(rows), codec.sa_code_size()), np.uint8, _coded(codec, index, rows, 0, progress))
    searcher = CompressedSearcher(index, codec, open_npy(paths["rows"]))
    quality = _tune(searcher, held_out, rows)
    faiss.write_index(index, str(paths["index"]))
    return {**quality, "n_probe": searcher.n_probe, "n_short": searcher.n_short}


def open_compressed(paths: Mapping[str, Path], quality: Mapping[str, Any]) -> CompressedSearcher:
    """Open what `write_compressed` wrote; the codes stay on disk.

    Raises:
        BankError: a file cannot be read, or the files do not belong together.
    """
    import faiss

    index, codec, codes = read_index(paths["index"]), read_index(paths["codec"]), open_npy(paths["rows"])
    n_probe, n_short = (quality.get(name) for name in ("n_probe", "n_short"))
    if not isinstance(index, faiss.IndexPreTransform) or not faiss.try_extract_index_ivf(index):
        raise BankError(f"{paths['index']} holds no turned inverted file; restore or rebuild the bank")
    fits = (index.ntotal, index.d, codec.sa_code_size()) == (len(codes), codec.d, codes.shape[1])
    if not fits or codes.dtype != np.uint8 or type(n_probe) is not int or type(n_short) is not int:
        raise BankError(f"{paths['index']} and {paths['rows']} do not belong together; restore or rebuild the bank")
    return CompressedSearcher(index, codec, codes, (min(max(n_probe, 1), 1 << 16), min(max(n_short, 1), 1024)))


def extend_compressed(old: Mapping[str, Path], new: Mapping[str, Path], rows: Rows, n_old: int) -> None:
    """Write files of all rows, the first `n_old` of which are already compressed in the old files."""
    import faiss

    index, codec, codes = read_index(old["index"]), read_index(old["codec"]), open_npy(old["rows"])
    kept = (codes[np.arange(start, min(start + CHUNK_ROWS, n_old))] for start in range(0, n_old, CHUNK_ROWS))
    added = _coded(codec, index, rows, n_old, no_progress)
    write_npy(new["rows"], (len(rows), codes.shape[1]), np.uint8, itertools.chain(kept, added))
    faiss.write_index(codec, str(new["codec"]))
    faiss.write_index(index, str(new["index"]))


def _trained(rows: Rows, seed: int) -> tuple[Any, Any]:
    """Return codec and index, both without rows."""
    import faiss

    generator, is_long = np.random.default_rng(seed), rows.dimension > LOW_DIMENSION
    sample = rows.at(_picked(rows, _TRAIN_ROWS, generator))
    codec: Any = faiss.index_factory(rows.dimension, "SQ8" if is_long else "SQfp16")
    codec.train(sample)
    n_lists = int(np.clip(2 ** round(np.log2(4 * np.sqrt(len(rows)))), 1, min(_MAX_LISTS, len(rows))))
    n_axes = min(_SHORT_AXES, rows.dimension)
    lists: Any = faiss.index_factory(n_axes, f"IVF{n_lists},SQ8")
    lists.cp.seed, lists.cp.niter, lists.cp.min_points_per_centroid = seed, 8, 1
    turn = faiss.PCAMatrix(rows.dimension, n_axes)
    turn.train(sample)
    picked = _picked(rows, n_lists * _ROWS_PER_LIST, generator)
    parts = np.array_split(picked, -(-len(picked) // CHUNK_ROWS))
    lists.train(np.concatenate([turn.apply(rows.at(part)) for part in parts]))
    index = faiss.IndexPreTransform(turn, lists)
    return codec, index


def _picked(rows: Rows, wanted: int, generator: np.random.Generator) -> AnyArray:
    return np.sort(generator.choice(len(rows), min(wanted, len(rows)), replace=False))


def _coded(codec: Any, index: Any, rows: Rows, first: int, progress: Progress) -> Iterator[AnyArray]:
    """Yield the codes of the rows from number `first` on, and add these rows to the lists."""
    done = first
    for chunk in rows.chunks(first):
        index.add(chunk)
        yield codec.sa_encode(chunk)
        done += len(chunk)
        progress("compressing patches", done, len(rows))


def _tune(searcher: CompressedSearcher, held_out: HeldOut, rows: Rows) -> dict[str, Any]:
    """Search more lists, then longer short lists, until the held-out recall no longer gains."""
    quality = measure(held_out, searcher.search_excluding, rows)
    for knob, limit in {"n_probe": searcher.n_lists, "n_short": 256}.items():
        while quality["recall_at_1"] < 1 and 2 * getattr(searcher, knob) <= limit:
            setattr(searcher, knob, 2 * getattr(searcher, knob))
            better = measure(held_out, searcher.search_excluding, rows)
            if better["recall_at_1"] < quality["recall_at_1"] + 0.002:
                setattr(searcher, knob, getattr(searcher, knob) // 2)
                break
            quality = better
    return quality
