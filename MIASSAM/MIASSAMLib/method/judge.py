"""What says how unusual a place is: a bank's normals, the volume itself, or several contrasts together."""

from __future__ import annotations

from typing import Protocol

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import RefinedConfig
from ..protocols import PatchSearcher
from .features import EncodedSlice


class Judge(Protocol):
    """Makes the calibrated maps of a slice, and says how rare what they show is.

    Attributes:
        config: the preset.
    """

    config: RefinedConfig

    @property
    def level(self) -> float:
        """Map value that few normal tissue exceeds; it forms clusters."""
        ...

    def maps(self, encoded: EncodedSlice, bank: PatchSearcher | None) -> FloatArray:
        """Return the maps of a slice (kinds, 256, 256), OUTSIDE beyond the foreground."""
        ...

    def tails(self, maps: FloatArray, labels: AnyArray, count: int, depth: float) -> list[float]:
        """Return how rare each part of a slice's maps is. labels: int (256, 256), 1 to count; depth: 0 to 1."""
        ...

    def is_sharp(self, maps: FloatArray, cluster: BoolArray) -> bool:
        """Tell whether the map that shows a cluster is as sharp as the image."""
        ...

    def pixel_note(self, pixel_mm: float) -> tuple[str, ...]:
        """Return what bounds the result."""
        ...
