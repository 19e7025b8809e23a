"""Rows made small: rotated to principal axes, strong axes in 16 bits, weak ones in 8, the rest as one number.

SAM embeddings are strongly low-rank, so that most of a float32 row is nothing. The squared distance of
a query to a coded row is exact up to the rounding of the stored axes, whose size is chosen from pairs
of held-out rows and their true neighbors.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, DoubleArray, FloatArray
from ..errors import BankError

RELATIVE_ERROR = 0.001
"""Wanted spread of a stored squared distance around the true one, as a part of it."""
MAX_BYTES_PART = 0.26
"""Largest part of the float32 row that a coded row may take."""
_LEVELS = (65535.0, 255.0)
_RANGE_MARGIN = 0.15
"""Room beyond the range of the sample; what lies outside is clipped, and its distance comes out too small."""


@dataclasses.dataclass(frozen=True)
class RowCodec:
    """A lossy code for rows of D numbers, learned from a sample.

    Attributes:
        mean: float32 (D,).
        rotation: float32 (D, R), orthonormal columns, strongest axis first; the other D - R axes are
            kept only as the energy they carry.
        low: float32 (R,), smallest storable value of each axis.
        step: float32 (R,), size of one level of each axis.
        n_fine: the first axes, stored in 16 bits; the others take 8.
    """

    mean: FloatArray
    rotation: FloatArray
    low: FloatArray
    step: FloatArray
    n_fine: int

    @property
    def n_axes(self) -> int:
        """Number R of stored axes."""
        return len(self.step)

    @property
    def row_bytes(self) -> int:
        """Bytes of a coded row: axes and the float32 energy of what the code leaves out."""
        return 2 * self.n_fine + (self.n_axes - self.n_fine) + 4

    def rotate(self, rows: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return rows (N, D) on the stored axes (N, R) and the energy (N,) on the others."""
        centered = np.asarray(rows - self.mean, np.float32)
        rotated = np.asarray(centered @ self.rotation, np.float32)
        return rotated, np.maximum(_energy(centered) - _energy(rotated), np.float32(0))

    def encode(self, rotated: FloatArray, energy: FloatArray) -> AnyArray:
        """Return codes (N, row_bytes) uint8 of what `rotate` gave."""
        split = 2 * self.n_fine
        codes = np.empty((len(rotated), self.row_bytes), np.uint8)
        limits = np.where(np.arange(self.n_axes) < self.n_fine, *_LEVELS).astype(np.float32)
        levels = rotated - self.low
        levels /= self.step
        np.clip(np.rint(levels, out=levels), 0, limits, out=levels)
        codes[:, :split] = levels[:, : self.n_fine].astype("<u2").view(np.uint8)
        codes[:, split:-4] = levels[:, self.n_fine :]
        levels *= self.step
        levels += self.low
        levels -= rotated
        codes[:, -4:] = (energy + _energy(levels)).astype("<f4")[:, None].view(np.uint8)
        return codes

    def decode(self, codes: AnyArray) -> tuple[FloatArray, FloatArray]:
        """Return axes (N, R) and left-out energy (N,) of codes (N, row_bytes)."""
        split = 2 * self.n_fine
        levels = np.empty((len(codes), self.n_axes), np.float32)
        levels[:, : self.n_fine] = np.ascontiguousarray(codes[:, :split]).view("<u2")
        levels[:, self.n_fine :] = codes[:, split:-4]
        levels *= self.step
        levels += self.low
        return levels, np.ascontiguousarray(codes[:, -4:]).view("<f4")[:, 0]

    def restore(self, codes: AnyArray) -> FloatArray:
        """Return the rows (N, D) that the codes stand for, without what was left out."""
        axes, _ = self.decode(codes)
        return np.asarray(axes @ self.rotation.T + self.mean, np.float32)

    def save(self, path: Path) -> None:
        """Write the codec as an npz file."""
        fields = {field.name: np.asarray(getattr(self, field.name)) for field in dataclasses.fields(self)}
        np.savez(path, **fields)  # type: ignore[arg-type]


def load_codec(path: Path) -> RowCodec:
    """Read a codec written by `RowCodec.save`.

    Raises:
        BankError: the file does not hold one.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            fields = {field.name: arrays[field.name] for field in dataclasses.fields(RowCodec)}
    except (OSError, ValueError, KeyError) as error:
        raise BankError(f"{path} cannot be read; restore or rebuild the bank") from error
    return RowCodec(**{**fields, "n_fine": int(fields["n_fine"])})


def learn_codec(sample: FloatArray, differences: FloatArray) -> RowCodec:
    """Learn axes from sample rows (S, D) and how finely to store them.

    Args:
        differences: float32 (P, D), held-out rows minus their true nearest neighbors.
    """
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    variances, axes = np.linalg.eigh(_covariance(sample, mean))
    rotation = np.ascontiguousarray(axes[:, ::-1], np.float32)
    low, high = _ranges(sample, mean, rotation)
    margin = _RANGE_MARGIN * (high - low) + 1e-12
    gaps = np.square(differences @ rotation).mean(axis=0, dtype=np.float64)
    n_fine, n_axes = _choose_widths(np.maximum(variances[::-1], 0), (high - low + 2 * margin).astype(np.float64), gaps)
    levels = np.where(np.arange(n_axes) < n_fine, *_LEVELS)
    step = (high - low + 2 * margin)[:n_axes] / levels
    return RowCodec(
        mean=mean,
        rotation=np.ascontiguousarray(rotation[:, :n_axes]),
        low=(low - margin)[:n_axes].astype(np.float32),
        step=step.astype(np.float32),
        n_fine=n_fine,
    )


def _covariance(sample: FloatArray, mean: FloatArray) -> DoubleArray:
    total = np.zeros((sample.shape[1], sample.shape[1]))
    for part in _blocks(sample):
        centered = part - mean
        total += centered.T @ centered
    return total / max(len(sample) - 1, 1)


def _ranges(sample: FloatArray, mean: FloatArray, rotation: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and highest value (D,) of the rotated sample on every axis."""
    spans = []
    for part in _blocks(sample):
        rotated = (part - mean) @ rotation
        spans.append((rotated.min(axis=0), rotated.max(axis=0)))
    lows, highs = zip(*spans, strict=True)
    return np.min(lows, axis=0), np.max(highs, axis=0)


def _blocks(rows: FloatArray, n_rows: int = 4096) -> Iterator[FloatArray]:
    return (rows[start : start + n_rows] for start in range(0, len(rows), n_rows))


def _choose_widths(variances: DoubleArray, ranges: DoubleArray, gaps: DoubleArray) -> tuple[int, int]:
    """Return (axes in 16 bits, stored axes): the fewest bytes that keep the wanted accuracy.

    Rounding an axis by e moves a squared distance by 2 (q - b) e, so each axis adds
    4 gap^2 e^2 to the variance of the distance; an axis left out adds 4 gap^2 variance.
    """
    dimension, wanted = len(ranges), (RELATIVE_ERROR * gaps.sum()) ** 2
    rounding = [4 * gaps * (ranges / level) ** 2 / 12 for level in _LEVELS]
    fine = np.concatenate([[0], np.cumsum(rounding[0])])
    coarse = np.concatenate([[0], np.cumsum(rounding[1])])
    dropped = np.concatenate([np.cumsum((4 * gaps * variances)[::-1])[::-1], [0]])
    n_fine = np.arange(dimension + 1)[:, None]
    n_axes = np.arange(dimension + 1)[None]
    error = fine[:, None] + (coarse[None] - coarse[:, None]) + dropped[None]
    n_bytes = n_fine + n_axes + 4
    allowed = (n_axes >= n_fine) & (n_axes >= 1) & (n_bytes <= max(MAX_BYTES_PART * 4 * dimension, 16))
    good = allowed & (error <= wanted)
    cost = np.where(good, n_bytes, np.inf) if good.any() else np.where(allowed, error, np.inf)
    row, column = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return int(row), int(column)


def _energy(rows: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("nd,nd->n", rows, rows), np.float32)
