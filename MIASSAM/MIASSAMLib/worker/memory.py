"""Out of memory is no reason to fail: take smaller batches, then the CPU, and say so."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from ..errors import MiassamError

Result = TypeVar("Result")


def with_less_memory(attempt: Callable[[int, str], Result], log: Callable[[str], None]) -> Result:
    """Call attempt(batch, device) with less and less appetite; batch 0 and device "" leave the choice.

    Raises:
        MiassamError: even one slice at a time on the CPU does not fit.
    """
    steps = [
        (0, "", ""),
        (1, "", "out of memory: trying one slice at a time"),
        (1, "cpu", "out of memory: going on with the CPU, which is slower"),
    ]
    for batch, device, notice in steps:
        if notice:
            log(notice)
        try:
            return attempt(batch, device)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            gc.collect()  # the allocator gives back by itself what nothing holds any more
    raise MiassamError(
        "there is not enough memory for one slice, even on the CPU; close other programs or use a smaller model"
    )


def _is_out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or "out of memory" in str(error).lower()
