"""Run one task per item, on a cluster or on processes of this machine, and take the results in order."""

from __future__ import annotations

import collections
import contextlib
import functools
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from ..errors import MiassamError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD_PER_WORKER = 2
_RETRIES = 2
_TERMINATED = 128 + signal.SIGTERM


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


@contextlib.contextmanager
def map_on_processes(
    n_processes: int, task: Callable[[Item], Result], items: Iterable[Item]
) -> Iterator[Iterator[Result]]:
    """Give task(item) for every item, in order, from new processes that share this machine's processors.

    The processes end with the block: at once when it is left by an error or an interrupt.

    Raises:
        MiassamError: a process died.
    """
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(n_processes, mp_context=context, initializer=_obey_the_starter)
    try:
        with _threads_each(n_processes):
            results = pool.map(functools.partial(_tidied, task), items)
        yield results
    except BaseException as error:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        if isinstance(error, BrokenProcessPool):
            raise MiassamError(
                "a process that segments died, most likely for want of memory; what was finished is kept: "
                "go on with --resume and fewer --jobs"
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _obey_the_starter() -> None:
    """Leave Ctrl+C to the process that started this one; when that ends it, tidy up first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_TERMINATED))


def _tidied(task: Callable[[Item], Result], item: Item) -> Result:
    """Do a task; when the process is told to end, the task's unfinished files are removed before it does."""
    try:
        return task(item)
    except SystemExit:
        os._exit(_TERMINATED)  # the pool would only hand it the next item


@contextlib.contextmanager
def _threads_each(n_processes: int) -> Iterator[None]:
    """Let processes started inside use their share of the processors, unless the user has set it."""
    names = [name for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name not in os.environ]
    os.environ |= {name: str(max((os.cpu_count() or 1) // n_processes, 1)) for name in names}
    try:
        yield
    finally:
        for name in names:
            del os.environ[name]
