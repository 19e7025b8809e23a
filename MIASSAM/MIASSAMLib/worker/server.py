"""Serve requests with an engine: call the verb, answer with its result or with what went wrong."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from ..arrays import AnyArray
from ..errors import Cancelled, MiassamError, UsageError
from .channel import Channel, load_array, save_array

Verb: TypeAlias = "Callable[[Mapping[str, Any], 'Call'], dict[str, Any]]"
"""A verb takes its arguments and the call, and returns JSON-able data."""


class Call:
    """One request being served: progress, log and arrays."""

    def __init__(self, channel: Channel, request: int) -> None:
        self._channel, self._request = channel, request

    @property
    def folder(self) -> Path:
        """The exchange folder; it is removed when either side ends."""
        return self._channel.folder

    def progress(self, stage: str, done: int, total: int) -> None:
        """Report progress.

        Raises:
            Cancelled: the other side asked to stop.
        """
        if self._channel.is_cancelled(self._request):
            raise Cancelled("stopped on request")
        self._answer("progress", stage=stage, done=done, total=total)

    def log(self, text: str) -> None:
        """Send a line for the person at the other side."""
        self._answer("log", text=text)

    def load(self, name: str) -> AnyArray:
        """Read an array that the other side put into the exchange folder."""
        return load_array(self._channel.folder, name)

    def save(self, stem: str, array: AnyArray) -> str:
        """Put an array into the exchange folder and return its name; the other side removes it."""
        return save_array(self._channel.folder, f"{stem}-{self._request}", array)

    def finish(self, kind: str, **fields: Any) -> None:
        """Send the final answer."""
        self._answer(kind, **fields)

    def _answer(self, kind: str, **fields: Any) -> None:
        self._channel.send({"id": self._request, "kind": kind, **fields})


def serve(verbs: Mapping[str, Verb], channel: Channel, hello: Mapping[str, Any]) -> None:
    """Serve requests, one after the other, until "shutdown" or the end of the pipe."""
    channel.listen()
    channel.send({"kind": "ready", **hello})
    while True:
        request = channel.requests.get()
        call = Call(channel, int(request["id"]))
        if request["verb"] == "shutdown":
            call.finish("result", value={})
            channel.leave()
        answer(verbs, request, call)


def answer(verbs: Mapping[str, Verb], request: Mapping[str, Any], call: Call) -> None:
    """Serve one request; whatever happens, the other side gets exactly one final answer."""
    try:
        if request["verb"] not in verbs:
            known = ", ".join(sorted(verbs))
            raise UsageError(f"the verb {request['verb'][:40]!r} is unknown; use one of {known}")
        with warnings_told(call):
            value = verbs[request["verb"]](request.get("arguments", {}), call)
        call.finish("result", value=value)
    except Cancelled:
        call.finish("cancelled")
    except MiassamError as error:
        call.finish("error", error=type(error).__name__, text=str(error))
    except Exception as error:  # the border of the process: a bug must reach the user as text, not as silence
        call.log(traceback.format_exc())
        text = f"unexpected {type(error).__name__}: {error}; the log has the details"
        call.finish("error", error="InternalError", text=text)


@contextmanager
def warnings_told(call: Call) -> Iterator[None]:
    """Send what the library warns of meanwhile, such as memory that ran out, to the person at the other side."""
    handler, library = _ToTheUser(call), logging.getLogger(__name__.partition(".")[0])
    library.addHandler(handler)
    try:
        yield
    finally:
        library.removeHandler(handler)


class _ToTheUser(logging.Handler):
    def __init__(self, call: Call) -> None:
        super().__init__(logging.WARNING)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        self._call.log(record.getMessage())
