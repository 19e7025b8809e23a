"""Compressed rows on disk: an inverted file on the strongest axes makes a short list, coded rows re-score it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError
from ..protocols import Progress, no_progress
from .codec import RowCodec, learn_codec, load_codec
from .files import write_npy
from .quality import HeldOut, measure
from .row_file import RowFile, open_npy
from .rows import CHUNK_ROWS, Rows
from .searcher import squared_distances

_TRAIN_ROWS = 50_000
_ROWS_PER_LIST = 40
_MAX_LISTS = 8192
_LEAD_GAP_PART = 0.9
_LEAD_LIMITS = (8, 96)
_BLOCK_QUERIES = 64


@dataclasses.dataclass
class InvertedFile:
    """Short lists from the first axes: Faiss's IVF with 8-bit codes.

    Attributes:
        index: the Faiss index; its last axis is the root of the energy the others leave out.
        n_probe: lists searched per query.
        n_short: length of the short list.
    """

    index: Any
    n_probe: int = 32
    n_short: int = 32

    def lead(self, axes: FloatArray, energy: FloatArray | None) -> FloatArray:
        """Return the indexed coordinates of rows (with their energy) or of queries (None)."""
        n_lead = int(self.index.d) - 1
        rest = np.zeros(len(axes), np.float32)
        if energy is not None:
            tail = axes[:, n_lead:]
            rest = np.sqrt(energy + np.einsum("nd,nd->n", tail, tail))
        return np.ascontiguousarray(np.column_stack([axes[:, :n_lead], rest]), np.float32)

    def short_list(self, axes: FloatArray, excluded: AnyArray | None) -> AnyArray:
        """Return row numbers (Q, n_short), -1 where there are fewer."""
        coordinates = self.lead(axes, None)
        if excluded is None:
            return np.asarray(self._search(coordinates, None))
        found = np.full((len(axes), self.n_short), -1, np.int64)
        for span in np.unique(excluded, axis=0):
            own = (excluded == span).all(axis=1)
            found[own] = self._search(coordinates[own], span)
        return found

    def _search(self, coordinates: FloatArray, span: AnyArray | None) -> Any:
        import faiss

        options: dict[str, Any] = {"nprobe": min(self.n_probe, self.index.nlist)}
        if span is not None:
            selector = faiss.IDSelectorRange(int(span[0]), int(span[1]))
            options["sel"] = faiss.IDSelectorNot(selector)
        return self.index.search(coordinates, self.n_short, params=faiss.SearchParametersIVF(**options))[1]


class CompressedSearcher:
    """Nearest rows among coded ones.

    Args:
        codes: uint8 (M, row_bytes), an array or the rows of a file.
    """

    def __init__(self, codec: RowCodec, inverted: InvertedFile, codes: AnyArray | RowFile) -> None:
        self._codec = codec
        self.inverted = inverted
        self._codes = codes
        self.n_rows = len(codes)
        self.dimension = len(codec.mean)

    @property
    def name(self) -> str:
        """The way it searches, in words."""
        return (
            f"inverted file ({self.inverted.n_probe} of {self.inverted.index.nlist} lists), short list of "
            f"{self.inverted.n_short} re-scored on {self._codec.n_axes} axes"
        )

    def search(self, queries: FloatArray) -> tuple[FloatArray, AnyArray]:
        """See `RowSearcher.search`."""
        return self.search_excluding(queries, None)

    def search_excluding(self, queries: FloatArray, excluded: AnyArray | None) -> tuple[FloatArray, AnyArray]:
        """Search without the rows [first, last) of `excluded` (Q, 2), which belong to the query's source."""
        axes, energy = self._codec.rotate(queries)
        candidates = self.inverted.short_list(axes, excluded)
        numbers, places = np.unique(candidates, return_inverse=True)
        codes = self._codes[np.maximum(numbers, 0)]
        places = places.reshape(candidates.shape)
        distances = np.empty(len(queries), np.float32)
        winners = np.empty(len(queries), np.int64)
        for start in range(0, len(queries), _BLOCK_QUERIES):
            block = slice(start, start + _BLOCK_QUERIES)
            missing = candidates[block] < 0
            column, scores = self._best(axes[block], codes, places[block], missing)
            winners[block] = candidates[block][np.arange(len(column)), column]
            distances[block] = np.where(missing.all(axis=1), np.inf, scores + energy[block])
        return distances, winners

    def rows_at(self, numbers: AnyArray) -> FloatArray:
        """See `RowSearcher.rows_at`; up to the code's rounding."""
        return self._codec.restore(self._codes[numbers])

    def _best(
        self, axes: FloatArray, codes: AnyArray, places: AnyArray, missing: AnyArray
    ) -> tuple[AnyArray, FloatArray]:
        """Return the best column (Q,) of the short lists and its distance (Q,), taken without cancellation."""
        used, where = np.unique(places, return_inverse=True)
        where = where.reshape(places.shape)
        rows, lost = self._codec.decode(codes[used])
        half_norms = (np.einsum("nd,nd->n", rows, rows) + lost) / 2
        scores = half_norms[where] - np.matmul(rows[where], axes[:, :, None])[:, :, 0]
        scores[missing] = np.inf
        column = scores.argmin(axis=1)
        winners = where[np.arange(len(column)), column]
        return column, squared_distances(axes, rows[winners]) + lost[winners]


def write_compressed(
    paths: dict[str, Path],
    rows: Rows,
    held_out: HeldOut,
    seed: int,
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Code all rows (M, D) into files and return the measured quality.

    Args:
        paths: where to write, by role ("codec", "index", "rows").
    """
    generator = np.random.default_rng(seed)
    sample = np.sort(generator.choice(len(rows), min(_TRAIN_ROWS, len(rows)), replace=False))
    codec = learn_codec(rows.at(sample), held_out.queries - held_out.nearest)
    codec.save(paths["codec"])
    inverted = _train_lists(codec, rows, held_out, generator, seed)
    write_npy(paths["rows"], (len(rows), codec.row_bytes), np.uint8, _coded(codec, inverted, rows, 0, progress))
    searcher = CompressedSearcher(codec, inverted, open_npy(paths["rows"]))
    quality = _tune(searcher, held_out, rows)
    _save_index(inverted, paths["index"])
    return {**quality, "n_probe": inverted.n_probe, "n_short": inverted.n_short, "row_bytes": codec.row_bytes}


def open_compressed(paths: dict[str, Path], quality: Mapping[str, Any]) -> CompressedSearcher:
    """Open what `write_compressed` wrote; the coded rows stay on disk.

    Raises:
        BankError: a file cannot be read.
    """
    import faiss

    try:
        index = faiss.read_index(str(paths["index"]))
        codes = open_npy(paths["rows"])
    except (RuntimeError, ValueError, OSError) as error:
        raise BankError(f"{paths['index']} or {paths['rows']} cannot be read; restore or rebuild the bank") from error
    inverted = InvertedFile(index, int(quality["n_probe"]), int(quality["n_short"]))
    return CompressedSearcher(load_codec(paths["codec"]), inverted, codes)


def extend_compressed(old: dict[str, Path], new: dict[str, Path], rows: Rows, n_old: int) -> None:
    """Write files of all rows, the first `n_old` of which are already coded in the old files."""
    import faiss

    codec, old_codes = load_codec(old["codec"]), open_npy(old["rows"])
    codec.save(new["codec"])
    inverted = InvertedFile(faiss.read_index(str(old["index"])))
    kept = (old_codes[np.arange(start, min(start + CHUNK_ROWS, n_old))] for start in range(0, n_old, CHUNK_ROWS))
    added = _coded(codec, inverted, rows, n_old, no_progress)
    write_npy(new["rows"], (len(rows), codec.row_bytes), np.uint8, itertools.chain(kept, added))
    _save_index(inverted, new["index"])


def _train_lists(
    codec: RowCodec, rows: Rows, held_out: HeldOut, generator: np.random.Generator, seed: int
) -> InvertedFile:
    import faiss

    n_lead = _choose_lead(codec, held_out)
    n_lists = int(np.clip(2 ** round(np.log2(4 * np.sqrt(len(rows)))), 1, min(_MAX_LISTS, len(rows))))
    quantizer = faiss.IndexFlatL2(n_lead + 1)
    index = faiss.IndexIVFScalarQuantizer(
        quantizer, n_lead + 1, n_lists, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, True
    )
    index.cp.seed, index.cp.niter, index.cp.min_points_per_centroid = seed, 8, 1
    inverted = InvertedFile(index)
    picked = np.sort(generator.choice(len(rows), min(n_lists * _ROWS_PER_LIST, len(rows)), replace=False))
    parts = np.array_split(picked, max(len(picked) // 16384, 1))
    training = [inverted.lead(*codec.rotate(rows.at(part))) for part in parts]
    index.train(np.concatenate(training))
    return inverted


def _choose_lead(codec: RowCodec, held_out: HeldOut) -> int:
    gaps = np.square((held_out.queries - held_out.nearest) @ codec.rotation).mean(axis=0)
    enough = int(np.searchsorted(np.cumsum(gaps), _LEAD_GAP_PART * gaps.sum())) + 1
    return min(int(np.clip(-(-enough // 8) * 8, *_LEAD_LIMITS)) - 1, codec.n_axes)


def _coded(codec: RowCodec, inverted: InvertedFile, rows: Rows, first: int, progress: Progress) -> Iterator[AnyArray]:
    """Yield the codes of the rows from number `first` on, and add these rows to the lists."""
    done = first
    for chunk in rows.chunks(first):
        axes, energy = codec.rotate(chunk)
        inverted.index.add(inverted.lead(axes, energy))
        yield codec.encode(axes, energy)
        done += len(chunk)
        progress("compressing patches", done, len(rows))


def _tune(searcher: CompressedSearcher, held_out: HeldOut, rows: Rows) -> dict[str, Any]:
    """Search more lists, then longer short lists, until the held-out recall no longer gains."""
    inverted = searcher.inverted
    quality = measure(held_out, searcher.search_excluding, rows)
    limits = {"n_probe": inverted.index.nlist, "n_short": 256}
    for knob, limit in limits.items():
        while quality["recall_at_1"] < 1 and 2 * getattr(inverted, knob) <= limit:
            setattr(inverted, knob, 2 * getattr(inverted, knob))
            better = measure(held_out, searcher.search_excluding, rows)
            if better["recall_at_1"] < quality["recall_at_1"] + 0.002:
                setattr(inverted, knob, getattr(inverted, knob) // 2)
                break
            quality = better
    return quality


def _save_index(inverted: InvertedFile, path: Path) -> None:
    import faiss

    faiss.write_index(inverted.index, str(path))
