"""Run one task per item on a cluster and take the results in order, a few at a time."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_WORKER = 2
_RETRIES = 2


def map_in_order(client: Any, task: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield task(item) for every item, in order.

    At most two tasks per worker are under way or waiting to be fetched, so that the results of 10^5
    volumes never pile up. A lost worker's tasks are run again by the scheduler; an exception of a task
    is raised here, when its turn comes.
    """
    waiting: collections.deque[Any] = collections.deque()
    rest = iter(items)
    try:
        while True:
            ahead = max(_n_workers(client) * _AHEAD_PER_WORKER, 1)
            while len(waiting) < ahead and (item := next(rest, _END)) is not _END:
                waiting.append(client.submit(task, item, pure=False, retries=_RETRIES))
            if not waiting:
                return
            future = waiting.popleft()
            result = future.result()
            future.release()
            yield result
    finally:
        for future in waiting:
            future.cancel()


_END: Any = object()


def _n_workers(client: Any) -> int:
    return len(client.scheduler_info(n_workers=-1)["workers"])
