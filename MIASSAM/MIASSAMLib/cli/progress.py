"""Progress on a terminal; quiet in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..protocols import Progress, no_progress


@contextmanager
def terminal_progress(enabled: bool = True) -> Iterator[Progress]:
    """Give a progress callback that draws stage, done / total, how many a second and time left on stderr."""
    if not enabled or not sys.stderr.isatty():
        yield no_progress
        return
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


def rate_in_words(per_second: float | None) -> str:
    """Return a rate as "12.3/s", with "" before it is known."""
    return f"{per_second:.3g}/s" if per_second else ""


def say(text: str) -> None:
    """Print a line for the user."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
