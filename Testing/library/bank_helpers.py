"""Small banks for the tests of the memory bank."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.bank import BankWriter, ManifestDraft, MemoryBank


def make_draft(**changes) -> ManifestDraft:
    fields = {
        "preset": "paper",
        "config": {"preset": "paper", "features": ["embedding", "intensity"], "window_px": 5, "stride": 2},
        "config_digest": "c0ffee",
        "model_name": "embedded",
        "model_digest": "abcdef0123456789",
        "preprocessing": {"window": "foreground"},
        "slice_axis": "axial",
        "seed": 3,
    }
    return ManifestDraft(**{**fields, **changes})


def make_rows(n: int, dimension: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dimension)).astype(np.float32)


def make_slices(n_slices: int, rows_per_slice: int = 20) -> list[dict[str, np.ndarray]]:
    return [
        {"embedding": make_rows(rows_per_slice, 16, seed), "intensity": make_rows(rows_per_slice, 6, 1000 + seed)}
        for seed in range(n_slices)
    ]


def build_bank(path, n_slices: int = 5, calibration=None, **options) -> MemoryBank:
    with BankWriter(path, make_draft(), **options) as writer:
        for number, rows in enumerate(make_slices(n_slices)):
            writer.add(f"volume{number // 2}", rows, part=number)
        return writer.finish(calibration)


def brute_force(queries: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Squared distance of each query to its nearest row, in float64."""
    difference = queries[:, None].astype(np.float64) - rows[None]
    return (difference**2).sum(axis=2).min(axis=1)


def make_low_rank_rows(n: int, dimension: int = 128, seed: int = 0, noise: float = 0.02) -> np.ndarray:
    """Rows like SAM's: a few strong axes (the same for every seed), a weak rest, far from the origin."""
    generator = np.random.default_rng(seed)
    axes = np.random.default_rng(12345).standard_normal((12, dimension)) / np.sqrt(dimension)
    strengths = 8.0 / (1 + np.arange(12))
    rows = generator.standard_normal((n, 12)) * strengths @ axes + noise * generator.standard_normal((n, dimension))
    return (rows + 3).astype(np.float32)
