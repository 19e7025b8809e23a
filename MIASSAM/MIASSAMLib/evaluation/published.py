"""Figures printed in the MIAS-SAM paper (BMVC 2025), for comparison; nothing here was measured by this program."""

from __future__ import annotations

DATA_SETS = ("brain", "liver", "retina")

TABLE_1: dict[str, tuple[tuple[float, float], ...]] = {
    "RD4AD": ((96.45, 28.28), (96.01, 10.72), (96.18, 33.51)),
    "PatchCore": ((96.97, 32.82), (96.43, 10.49), (96.48, 57.04)),
    "CFA": ((96.33, 30.22), (97.24, 14.93), (91.10, 36.57)),
    "CFlow-AD": ((93.76, 19.50), (92.41, 7.58), (93.78, 44.83)),
    "SimpleNet": ((94.76, 28.96), (97.51, 12.26), (77.14, 30.28)),
    "ReContrast": ((95.64, 12.57), (98.02, 15.03), (97.96, 25.02)),
    "MIAS-SAM": ((96.35, 37.04), (97.56, 42.85), (99.76, 51.21)),
}
"""P-AUROC and Dice in percent by method, for brain, liver and retina (paper, Table 1)."""

TABLE_2 = {
    "1": (23.61, 15.05, 26.08),
    "2": (32.65, 25.32, 48.06),
    "3": (37.06, 42.85, 51.21),
}
"""Dice in percent by mask (paper, Table 2)."""

TABLE_3 = {
    "box": (15.93, 14.81, 65.80),
    "max": (31.54, 42.70, 38.11),
    "cog": (37.06, 42.85, 51.21),
}
"""Dice in percent by prompt (paper, Table 3)."""

CAVEATS = (
    "The Dice of the first six methods is pooled over all test pixels at a level fitted on a labeled validation "
    "split; MIAS-SAM's is the mean over anomalous slices. They are different statistics.",
    "The published code normalizes maps over the whole test set, pads RESC to a square (which raises its P-AUROC) "
    "and resizes the truth bilinearly. Here every figure is over the original pixels of each slice.",
)
