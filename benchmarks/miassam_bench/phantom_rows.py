"""Patch rows of phantoms, encoded by the embedded model: real features of drawn anatomy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from MIASSAMLib.arrays import FloatArray
from MIASSAMLib.config import preset
from MIASSAMLib.method import PreparedVolume, Preprocessing, encode_slices
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.protocols import SamModel
from MIASSAMLib.sam import load_model


@dataclass(frozen=True)
class PhantomRows:
    """All patches of normal phantoms of one kind, background included.

    Attributes:
        kind: "brain", "liver" or "retina".
    """

    kind: str = "brain"

    def volume(self, number: int) -> FloatArray:
        """Return the rows (N, 1024) of one phantom, slice by slice."""
        prepared = PreparedVolume.of(make_phantom(self.kind, number).volume, Preprocessing())
        indexes = range(prepared.plane.n_slices)
        encoded = encode_slices(self._model, prepared, indexes, preset("paper"))
        return np.concatenate([one.features["embedding"] for one in encoded])

    def volumes(self, n_rows: int, skip: int = 0) -> Iterator[tuple[int, FloatArray]]:
        """Yield phantom numbers and rows until there are `n_rows`, without the first `skip` phantoms."""
        left, number = n_rows, 0
        while left > 0:
            rows = self.volume(number)[:left]
            if number >= skip:
                yield number, rows
            left, number = left - len(rows), number + 1

    @cached_property
    def _model(self) -> SamModel:
        return load_model("embedded", device="cpu")
