"""Many segmentations of one case in an eighth of their memory."""

from __future__ import annotations

import numpy as np

from ..arrays import BoolArray


class MaskStack:
    """Masks (S, H, W) by row, packed to bits."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        """Start with every row empty."""
        self._shape = shape
        self._bits: dict[tuple[str, str], np.ndarray] = {}

    def put(self, prompt: str, mask: str, position: int, pixels: BoolArray) -> None:
        """Set one slice (H, W) of a row."""
        key = (prompt, mask)
        if key not in self._bits:
            n_slices, height, width = self._shape
            self._bits[key] = np.zeros((n_slices, height, (width + 7) // 8), np.uint8)
        self._bits[key][position] = np.packbits(pixels, axis=-1)

    def get(self, prompt: str, mask: str) -> BoolArray:
        """Return a row, bool (S, H, W); all False when nothing was put."""
        bits = self._bits.get((prompt, mask))
        if bits is None:
            return np.zeros(self._shape, bool)
        return np.unpackbits(bits, axis=-1, count=self._shape[2]).astype(bool)
