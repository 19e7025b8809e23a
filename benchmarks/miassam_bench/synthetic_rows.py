"""Patch rows like SAM's, drawn from a seed: low-rank, clustered by anatomy, different in every volume."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from MIASSAMLib.arrays import FloatArray

GRID = 32
SLICES_PER_VOLUME = 32
_N_LATENT = 8
_N_WAVES = 384
_BLOCK_ROWS = 4096


@dataclass(frozen=True)
class RowModel:
    """A smooth map from anatomy to rows.

    Position in the body, tissue and scanner are a few latent numbers; random waves of them, weighted
    by a power law, are the strong axes of a row, and white noise is the rest. With the default decay 8
    axes hold 77 % of the variance and 64 hold 97.7 %: flatter, so harder, than embeddings of real FLAIR
    slices by the embedded model (94 % and 99.8 %, measured).

    Attributes:
        seed: of the map itself; volumes have their own.
        dimension: D of a row.
        decay: exponent of the power law of the spectrum.
        noise: part of the energy that is white.
    """

    seed: int = 0
    dimension: int = 1024
    decay: float = 1.5
    noise: float = 0.005

    def volume(self, number: int, n_slices: int = SLICES_PER_VOLUME) -> FloatArray:
        """Return the rows (n_slices * 1024, D) of one volume, slice by slice, row-major over the grid."""
        generator = np.random.default_rng([self.seed, 1 + number])
        latent = _latent(generator, n_slices)
        spread = np.float32(np.sqrt(12 * self.noise * _N_LATENT / self.dimension))
        rows = generator.random((len(latent), self.dimension), np.float32)
        rows *= spread
        for start in range(0, len(rows), _BLOCK_ROWS):
            block = slice(start, start + _BLOCK_ROWS)
            waves = latent[block] @ self._frequencies
            np.cos(np.add(waves, self._phases, out=waves), out=waves)
            rows[block] += waves @ self._axes
        rows += np.float32(3) - spread / 2
        return rows

    def volumes(self, n_rows: int, skip: int = 0) -> Iterator[tuple[int, FloatArray]]:
        """Yield volume numbers and rows until there are `n_rows`; the first `skip` volumes are not drawn."""
        size = SLICES_PER_VOLUME * GRID * GRID
        for number in range(skip, -(-n_rows // size)):
            yield number, self.volume(number)[: n_rows - number * size]

    @cached_property
    def _frequencies(self) -> FloatArray:
        generator = np.random.default_rng([self.seed, 0])
        return np.asarray(generator.standard_normal((_N_LATENT, _N_WAVES)) * 0.7, np.float32)

    @cached_property
    def _phases(self) -> FloatArray:
        generator = np.random.default_rng([self.seed, 0, 1])
        return np.asarray(generator.uniform(0, 2 * np.pi, _N_WAVES), np.float32)

    @cached_property
    def _axes(self) -> FloatArray:
        generator = np.random.default_rng([self.seed, 0, 2])
        basis, _ = np.linalg.qr(generator.standard_normal((self.dimension, _N_WAVES)))
        strengths = np.arange(1, _N_WAVES + 1) ** (-self.decay / 2)
        strengths *= np.sqrt(2 * _N_LATENT / np.square(strengths).sum())
        return np.ascontiguousarray((basis * strengths).T, np.float32)


def _latent(generator: np.random.Generator, n_slices: int) -> FloatArray:
    """Return latent numbers (n_slices * GRID * GRID, 8): position, bent by the volume, and tissue."""
    z, y, x = np.meshgrid(
        np.linspace(-1, 1, n_slices), np.linspace(-1, 1, GRID), np.linspace(-1, 1, GRID), indexing="ij"
    )
    position = np.stack([z, y, x], axis=-1).reshape(-1, 3)
    bend = generator.normal(0, 0.15, (3, 3)) + np.eye(3)
    place = 1.5 * position @ bend + generator.normal(0, 0.2, 3)
    folds = generator.normal(0, 2.0, (3, 3))
    tissue = np.sin(position @ folds + generator.uniform(0, 2 * np.pi, 3)) + generator.normal(0, 0.25, (len(place), 3))
    scanner = np.broadcast_to(generator.normal(0, 0.3, 2), (len(place), 2)) + generator.normal(0, 0.1, (len(place), 2))
    return np.concatenate([place, tissue, scanner], axis=1).astype(np.float32)
