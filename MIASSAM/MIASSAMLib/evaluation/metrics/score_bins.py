"""Bins over the whole range of float32 scores, so that no range has to be known beforehand.

A float32 read as an integer keeps its order; its leading bits (sign, exponent, nine bits of
mantissa) number a bin whose width is 1/512 of its power of two.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...arrays import AnyArray, FloatArray
from ...errors import InputError

BITS = 18
"""Leading bits that number a bin: 2**18 bins over all float32."""

_SIGN = np.uint32(1 << 31)


def score_bins(scores: AnyArray) -> npt.NDArray[np.uint32]:
    """Return the bin number of each score, flat; a higher score never has a lower bin.

    Raises:
        InputError: a score is not finite.
    """
    flat = np.ascontiguousarray(scores, dtype=np.float32).ravel() + np.float32(0.0)
    if not np.isfinite(flat).all():
        raise InputError("an anomaly map holds NaN or infinite scores; expected finite ones; the map cannot be scored")
    bits = flat.view(np.uint32)
    keys = np.where(bits & _SIGN, ~bits, bits | _SIGN)
    return np.asarray(keys >> np.uint32(32 - BITS), dtype=np.uint32)


def lowest_score(bins: AnyArray) -> FloatArray:
    """Return the lowest float32 score of each bin, so that `score >= lowest_score(b)` cuts below bin b."""
    keys = np.asarray(bins, dtype=np.uint32) << np.uint32(32 - BITS)
    bits = np.where(keys & _SIGN, keys & ~_SIGN, ~keys)
    return np.ascontiguousarray(bits, dtype=np.uint32).view(np.float32)
