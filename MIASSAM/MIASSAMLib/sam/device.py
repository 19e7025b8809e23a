"""Where and how a model runs: its device, its precision, and what gives when memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch

from ..errors import MiassamError, UsageError

DEVICE_WORDS = "auto, cpu, cuda, cuda:N or mps"
PRECISIONS: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16")

Made = TypeVar("Made")

_LOG = logging.getLogger(__name__)
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


@dataclass(frozen=True)
class RunOptions:
    """How a model runs. What it computes does not change.

    Attributes:
        precision: numbers inside the encoder; "auto" = by device, checked against float32.
        accelerate: fused attention and folded norms instead of the encoder as published.
    """

    precision: str = "auto"
    accelerate: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")


def choose_device(word: str) -> torch.device:
    """Return the torch device for a user's word; "auto" takes CUDA, then MPS, then the CPU."""
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kind = word.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {word!r} is unknown; choose {DEVICE_WORDS}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, but torch sees no CUDA GPU here; choose auto or cpu")
    if kind == "mps" and not _has_mps():
        raise UsageError("device 'mps' was asked for, but torch sees no Apple GPU here; choose auto or cpu")
    return torch.device(word)


def choose_precision(device: torch.device, word: str = "auto") -> torch.dtype:
    """Return the dtype of the encoder: the user's, or the fastest one the device has units for."""
    if word != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[word]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if cpu_has_bf16_units() else torch.float32


def cpu_has_bf16_units() -> bool:
    """Return whether bf16 products are faster than float32 here (AMX or AVX512-BF16, not emulation)."""
    checks = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    return any(check() for check in checks if check is not None)


class Movable(Protocol):
    """A model that can leave its device."""

    name: str
    device: str

    def move_to(self, device: str) -> None:
        """Move the weights to another device."""
        ...


class MemoryLadder:
    """Does work in batches as large as memory allows: half the batch, then the CPU, each step with a notice.

    Args:
        model: what works; it is moved to the CPU when its device has no memory for one item.
        items: what a batch is made of, in the plural, for the notices.
        notice: told in one sentence each time something had to give.

    Attributes:
        largest_batch: most items worked on at once since memory ran out; None while it never did.
    """

    def __init__(self, model: Movable, items: str, notice: Callable[[str], None] = _LOG.warning) -> None:
        self.largest_batch: int | None = None
        self._model, self._items, self._notice = model, items, notice

    def run(self, count: int, work: Callable[[slice], Made]) -> list[Made]:
        """Return what work(some) gives for consecutive slices `some` of `count` items.

        Raises:
            MiassamError: memory does not suffice for one item on the CPU.
        """
        made: list[Made] = []
        first = 0
        while first < count:
            size = min(self.largest_batch or count, count - first)
            try:
                made.append(work(slice(first, first + size)))
                first += size
                continue
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                failure = error.with_traceback(None)  # the frames hold the tensors that filled the memory
            self._give_way(size, failure)
        return made

    def _give_way(self, size: int, failure: Exception) -> None:
        """Choose what to do with less memory."""
        release_memory()
        model = self._model
        if size > 1:
            self.largest_batch = size // 2
            self._notice(f"{model.device} ran out of memory with {size} {self._items}; going on with {size // 2}")
        elif model.device != "cpu":
            self._notice(f"{model.device} has too little memory for one of the {self._items}; the CPU goes on, slower")
            model.move_to("cpu")
        else:
            raise MiassamError(
                f"memory does not suffice for one of the {self._items} with {model.name} on the CPU; "
                "close other programs or choose a smaller model"
            ) from failure


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on the host or any device."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in words for word in _MEMORY_WORDS)


def release_memory() -> None:
    """Hand a GPU's cached blocks back, so that the smaller batch finds room."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())
