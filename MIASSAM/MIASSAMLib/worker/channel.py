"""The worker's end of the pipe: a thread reads requests, so that a cancel is seen during the work.

Arrays cross as .npy files in a folder both sides know; nothing is ever pickled.
"""

from __future__ import annotations

import os
import queue
import shutil
import threading
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError, UsageError
from . import messages


class Channel:
    """Requests in, answers out.

    When the other side closes its end (it quit, crashed or was killed) the exchange folder is
    removed and the process ends at once, even in the middle of a computation.
    """

    def __init__(self, source: BinaryIO, target: BinaryIO, folder: Path) -> None:
        self.folder = folder
        self.requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._source, self._target = source, target
        self._cancelled: set[int] = set()
        self._last = -1
        self._lock = threading.Lock()

    @classmethod
    def on_standard_streams(cls, folder: Path) -> Channel:
        """Take stdin and stdout for the protocol; whatever else writes to stdout goes to stderr.

        Whatever else looks at stdin finds nothing there: on Windows a library that peeks at a pipe while
        the thread of `listen` reads it waits until the next request comes (numpy#24290).
        """
        source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        return cls(source, target, folder)

    def listen(self) -> None:
        """Start reading requests in the background."""
        threading.Thread(target=self._read, name="requests", daemon=True).start()

    def send(self, message: dict[str, Any]) -> None:
        """Write one answer."""
        with self._lock:
            try:
                self._target.write(messages.encode(message))
                self._target.flush()
            except OSError:  # nobody reads any more
                self.leave()

    def is_cancelled(self, request: int) -> bool:
        """Tell whether the other side asked to stop this request."""
        return request in self._cancelled

    def _read(self) -> None:
        while line := self._source.readline(messages.LONGEST_LINE):
            message = messages.decode(line)
            if not line.endswith(b"\n"):
                self._refuse(None, f"a line is longer than {messages.LONGEST_LINE} bytes; send arrays as files")
                while line and not line.endswith(b"\n"):
                    line = self._source.readline(messages.LONGEST_LINE)
            elif message is None:
                continue
            elif fault := messages.fault_of(message):
                self._refuse(message.get("id"), fault)
            elif message["verb"] == "cancel":
                self._cancelled.add(message["arguments"]["id"])
            elif message["id"] <= self._last:
                self._refuse(message["id"], f"request {message['id']} came after {self._last}; number them upwards")
            else:
                self._last = message["id"]
                self.requests.put(message)
        self.leave()

    def _refuse(self, number: Any, text: str) -> None:
        """Answer what is no request; a number that is none is left out."""
        known = {"id": number} if type(number) is int else {}
        self.send({**known, "kind": "error", "error": UsageError.__name__, "text": text})

    def leave(self) -> None:
        """End the process, leaving nothing behind."""
        shutil.rmtree(self.folder, ignore_errors=True)
        os._exit(0)


def save_array(folder: Path, stem: str, array: AnyArray) -> str:
    """Write an array and return its file name."""
    name = f"{stem}.npy"
    np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    return name


def load_array(folder: Path, name: str) -> AnyArray:
    """Read an array by its file name.

    Raises:
        InputError: the name leaves the folder, or the file is missing or no array.
    """
    if Path(name).name != name:
        raise InputError(f"'{name}' is not a file name of the exchange folder")
    try:
        return np.asarray(np.load(folder / name, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"the array {name} cannot be read ({error}); run the step again") from error
