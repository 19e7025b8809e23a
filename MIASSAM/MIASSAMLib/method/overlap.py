"""Do the next step while the last is being used, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_END: Any = object()


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
