"""One conversation with the worker, whatever carries the bytes."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from MIASSAMLib.worker import FINAL_KINDS, LineBuffer, encode
from slicer.i18n import tr as _

from .errors import ModuleError, RunCancelled, WorkerError

LIBRARY_FOLDER = Path(__file__).resolve().parent.parent
STEP_BYTES = 32_000_000
"""How much is written before the window gets a turn."""
_START = "import sys; sys.path.insert(0, sys.argv[1]); from MIASSAMLib.worker.__main__ import main; main(sys.argv[2:])"


def consolePython():
    """Return the Python that runs outside the application's own process."""
    found = shutil.which("PythonSlicer")
    if found:
        return found
    if "python" in Path(sys.executable).name.lower():
        return sys.executable
    raise ModuleError(_("PythonSlicer was not found on the path. Reinstall Slicer, or start it by its launcher."))


def workerCommand(exchangeFolder):
    """Return program and arguments of the child process."""
    return [consolePython(), "-u", "-c", _START, str(LIBRARY_FOLDER), str(exchangeFolder)]


def childOptions():
    """Return options of ``subprocess`` that keep Windows from opening a console window for the child."""
    return {"creationflags": subprocess.CREATE_NO_WINDOW} if sys.platform == "win32" else {}


@dataclass
class Request:
    """One question and who wants its answers."""

    verb: str
    onResult: Callable
    onFailure: Callable
    onProgress: Callable
    onLog: Callable


def _ignore(*_arguments):
    """Default for answers nobody waits for."""


class WorkerSession:
    """Numbers requests, hands answers to whoever asked, and keeps the exchange folder."""

    def __init__(self, send):
        self._send = send
        self._lines = LineBuffer()
        self._requests = {}
        self._lastNumber = self._lastFile = 0
        self._failure = None
        self.folder = Path(tempfile.mkdtemp(prefix="miassam-", dir=slicer.app.temporaryPath))

    def ask(self, verb, arguments, onResult=_ignore, onFailure=_ignore, onProgress=_ignore, onLog=_ignore):
        """Send a request and return its number; exactly one of onResult, onFailure is called later."""
        self._lastNumber += 1
        self._requests[self._lastNumber] = Request(verb, onResult, onFailure, onProgress, onLog)
        self._send(encode({"id": self._lastNumber, "verb": verb, "arguments": arguments}))
        return self._lastNumber

    def cancel(self, number):
        """Ask the worker to stop a request; its answer will be the cancellation."""
        if number in self._requests:
            self._send(encode({"id": 0, "verb": "cancel", "arguments": {"id": number}}))

    def isWaiting(self, number=None):
        """Tell whether a request, or any, has no final answer yet."""
        return bool(self._requests) if number is None else number in self._requests

    def receive(self, data):
        """Take bytes from the worker."""
        for message in self._lines.feed(data):
            self._deliver(message)

    def fail(self, error):
        """Tell everyone who still waits that no answer will come."""
        self._failure = error
        waiting, self._requests = self._requests, {}
        for request in waiting.values():
            request.onFailure(error)

    def close(self):
        """Remove the exchange folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def saveArraySteps(self, stem, array):
        """Put an array (K, J, I) into the exchange folder, a few slices in each step; return its file name."""
        self._lastFile += 1  # two volumes may be on their way at once
        path = self.folder / f"{stem}-{self._lastFile}.npy"
        slices = max(1, STEP_BYTES // max(1, array[:1].nbytes))
        try:
            with path.open("wb") as file:
                header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
                np.lib.format.write_array_header_1_0(file, header)
                for first in range(0, len(array), slices):
                    file.write(np.ascontiguousarray(array[first : first + slices]).data)
                    yield
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError) and self._failure is not None:  # the child ended and its folder is gone
                raise self._failure from error
            raise
        return path.name

    def takeArray(self, name):
        """Read an array the worker left and remove its file."""
        array = np.load(self.folder / name, allow_pickle=False)
        (self.folder / name).unlink()
        return array

    def _deliver(self, message):
        number, kind = message.get("id"), message.get("kind")
        request = self._requests.pop(number, None) if kind in FINAL_KINDS else self._requests.get(number)
        if request is None:
            return
        if kind == "progress":
            request.onProgress(message["stage"], message["done"], message["total"])
        elif kind == "log":
            request.onLog(message["text"])
        elif kind == "result":
            request.onResult(message["value"])
        elif kind == "cancelled":
            request.onFailure(RunCancelled(_("Stopped. Nothing was changed.")))
        else:
            request.onFailure(WorkerError(message["text"], message["error"]))
