"""Do the next step while the last is being used, within bounds, and go on when memory runs out."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ..arrays import AnyArray, FloatArray
from ..errors import MiassamError
from ..protocols import SamModel

if TYPE_CHECKING:
    import torch

Item = TypeVar("Item")
Made = TypeVar("Made")

_LOG = logging.getLogger(__name__)
_END: Any = object()
_MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory")


def ahead(items: Iterable[Item], work: Callable[[Item], Made], depth: int = 2) -> Iterator[Made]:
    """Yield work(item) for each item, in order, with up to `depth` results made beforehand in one thread.

    Stages chain: `ahead(ahead(indexes, prepare), encode)` prepares, encodes and uses at the same time,
    and never holds more than depth + 1 results of a stage. An error of a stage is raised here in its
    turn; leaving the loop early stops every stage.

    Args:
        items: what to work on; only the thread touches it.
        work: one stage.
        depth: results made beforehand; 0 does the work here, without a thread.
    """
    source = iter(items)
    if depth < 1:
        yield from _here(source, work)
        return
    waiting: deque[Future[Made]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="miassam-ahead") as pool:
        try:
            for _ in range(depth):
                waiting.append(pool.submit(_next_result, source, work))
            while (made := waiting.popleft().result()) is not _END:
                waiting.append(pool.submit(_next_result, source, work))
                yield made
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            _close(source)


def _here(source: Iterator[Item], work: Callable[[Item], Made]) -> Iterator[Made]:
    try:
        yield from map(work, source)
    finally:
        _close(source)


def _close(source: Iterator[Any]) -> None:
    """End a stage that is a generator itself, and its thread."""
    close = getattr(source, "close", None)
    if close is not None:
        close()


def _next_result(source: Iterator[Any], work: Callable[[Any], Made]) -> Made:
    item = next(source, _END)
    made: Made = _END if item is _END else work(item)
    return made


def in_chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items, the last one shorter."""
    chunk: list[Item] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


class CarefulEncoder:
    """Encodes batches; when memory runs out it halves the batch, then falls back to the CPU.

    Args:
        model: the model; its `move_to` is used for the fallback where it has one.
        notice: told in one sentence each time something had to give.

    Attributes:
        largest_batch: most slices encoded at once since memory ran out; None while it never did.
    """

    def __init__(self, model: SamModel, notice: Callable[[str], None] = _LOG.warning) -> None:
        self.model = model
        self.largest_batch: int | None = None
        self._notice = notice

    def encode(self, rasters: FloatArray, content_boxes: AnyArray | None = None) -> torch.Tensor:
        """Return the embeddings (B, 256, 64, 64) of rasters (B, S, S).

        Raises:
            MiassamError: memory does not suffice for one slice on the CPU.
        """
        import torch

        parts, first = [], 0
        while first < len(rasters):
            count = min(self.largest_batch or len(rasters), len(rasters) - first)
            some = slice(first, first + count)
            try:
                parts.append(self.model.encode(rasters[some], None if content_boxes is None else content_boxes[some]))
                first += count
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                self._give_way(count, error)
        return parts[0] if len(parts) == 1 else torch.cat([part.to(self.model.device) for part in parts])

    def _give_way(self, count: int, error: Exception) -> None:
        """Choose what to do with less memory: half the batch, then the CPU, then give up."""
        release_memory()
        if count > 1:
            self.largest_batch = count // 2
            self._notice(f"{self.model.device} ran out of memory with {count} slices; going on with {count // 2}")
            return
        move_to = getattr(self.model, "move_to", None)
        if self.model.device == "cpu" or move_to is None:
            raise MiassamError(
                f"memory does not suffice for one slice with {self.model.name} on {self.model.device}; "
                "close other programs or choose a smaller model"
            ) from error
        self._notice(f"{self.model.device} has too little memory for one slice; going on, slower, on the CPU")
        move_to("cpu")


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch means that memory ran out, on the host or any device."""
    import torch

    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(word in words for word in _MEMORY_WORDS)


def release_memory() -> None:
    """Hand a GPU's cached blocks back, so that the smaller batch finds room."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
