"""What a command says while it works: a bar on a terminal, plain lines elsewhere, and a log file on request."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..files import reason

if TYPE_CHECKING:
    from ..protocols import Progress

LOGGER = logging.getLogger("miassam")
_EVERY_S = 10.0
"""Plain lines come at most this often while a stage goes on."""


@contextmanager
def terminal_progress(enabled: bool = True) -> Iterator[Progress]:
    """Give a progress callback that tells stage, done / total and time left on stderr."""
    if not enabled:
        yield lambda stage, done, total: None
    elif not sys.stderr.isatty():
        yield PlainLines()
    else:
        with _bar() as report:
            yield report


@contextmanager
def _bar() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(rate_in_words(task.speed))

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        current = ""

        def report(stage: str, done: int, total: int) -> None:
            nonlocal current
            if stage != current:
                current = stage
                bar.reset(task)
            bar.update(task, description=stage, completed=done, total=total)

        yield report


class PlainLines:
    """Progress as lines: one when a stage begins or ends, and one every ten seconds in between."""

    def __init__(self) -> None:
        self._stage, self._begun, self._first, self._told = "", 0.0, 0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Write a line if it is time for one."""
        now = time.monotonic()
        if is_new := stage != self._stage:
            self._stage, self._begun, self._first = stage, now, done
        if is_new or done == total or now - self._told >= _EVERY_S:
            self._told = now
            left = time_left(now - self._begun, done - self._first, total - done)
            tell(f"{stage}: {done} of {total}{left}")


def time_left(seconds: float, n_done: int, n_left: int) -> str:
    """Return ", about 3 min left" from what the work so far took, or "" before that can be said."""
    if n_done < 1 or n_left < 1:
        return ""
    left = seconds / n_done * n_left
    return f", about {left:.0f} s left" if left < 100 else f", about {left / 60:.0f} min left"


def staged(progress: Progress, words: str) -> Progress:
    """Return a progress callback that puts words before each stage."""
    return lambda stage, done, total: progress(words + stage, done, total)


def rate_in_words(per_second: float | None) -> str:
    """Return a rate as "12.3/s", with "" before it is known."""
    return f"{per_second:.3g}/s" if per_second else ""


def say(text: str) -> None:
    """Print a line for the user, and log it."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
    LOGGER.info(text)


def tell(text: str) -> None:
    """Write a line about the work to stderr, and log it."""
    sys.stderr.write(f"miassam: {text}\n")
    sys.stderr.flush()
    LOGGER.info(text)


@contextmanager
def log_file(path: Path | None) -> Iterator[None]:
    """Append what is said to a file, with the time of each line.

    Raises:
        UsageError: the file cannot be written.
    """
    if path is None:
        yield
        return
    try:
        handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(f"--log {path} cannot be written: {reason(error)}; give a file you may write to") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


def traceback_words(error: BaseException, folder: Path | None = None) -> str:
    """Write an unexpected error's traceback to a file; return a sentence that names both."""
    handle, name = tempfile.mkstemp(prefix="miassam-error-", suffix=".log", dir=folder)
    with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(traceback.format_exception(error))
    return (
        f"unexpected {type(error).__name__}: {error}; this is a defect of the program, "
        f"please report it with the file {name}"
    )
