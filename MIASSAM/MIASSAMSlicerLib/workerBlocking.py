"""The worker for scripts and batch runs: ask and wait, without an event loop."""

import subprocess
import threading
from collections import deque

from slicer.i18n import tr as _

from .errors import RunCancelled, WorkerError
from .workerSession import WorkerSession, childOptions, workerCommand


class BlockingWorker:
    """Starts the child process on the first question and keeps it warm; use it as a context manager."""

    def __init__(self, command=workerCommand):
        self._command = command
        self._process = None
        self._session = None
        self._errorLines = deque(maxlen=12)

    def __enter__(self):
        return self

    def __exit__(self, *_details):
        self.close()

    @property
    def session(self):
        """The running conversation; it is started where there is none."""
        if self._process is None or self._process.poll() is not None:
            self._start()
        return self._session

    @property
    def processId(self):
        """Process number of the child, None before the first question."""
        return self._process.pid if self._process else None

    def call(self, verb, arguments, progress=None, log=None):
        """Ask and return the answer; raise what the worker or ``progress`` raises."""
        answer, failure = [], []
        session = self.session
        number = session.ask(
            verb,
            arguments,
            answer.append,
            failure.append,
            self._stopper(progress, failure),
            log or (lambda text: None),
        )
        cancelled = False
        while session.isWaiting(number):
            self._readLine()
            if failure and not cancelled:
                session.cancel(number)
                cancelled = True
        if failure:
            raise failure[0]
        return answer[0]

    def close(self):
        """End the child process and remove its folder."""
        if self._process is not None:
            self._process.stdin.close()
            try:
                self._process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
            self._process = None
        if self._session is not None:
            self._session.close()
            self._session = None

    @staticmethod
    def _stopper(progress, failure):
        def report(stage, done, total):
            try:
                if progress is not None:
                    progress(stage, done, total)
            except RunCancelled as stop:
                failure.append(stop)

        return report

    def _start(self):
        self.close()
        self._session = WorkerSession(self._write)
        self._process = subprocess.Popen(
            self._command(self._session.folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **childOptions(),
        )
        threading.Thread(target=self._readErrors, args=(self._process.stderr,), daemon=True).start()

    def _write(self, data):
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError:
            pass  # the child ended; reading its output finds out and says so

    def _readErrors(self, stream):
        for line in stream:
            self._errorLines.append(line.decode(errors="replace").rstrip())

    def _readLine(self):
        line = self._process.stdout.readline()
        if line:
            self._session.receive(line)
            return
        code = self._process.wait()
        self._session.fail(WorkerError(endedText(code, self._errorLines)))


def endedText(exitCode, errorLines):
    """Say in words that the child process is gone."""
    details = "\n".join(errorLines) or _("it said nothing")
    return _(
        "The background process ended unexpectedly (exit code {code}). Try again; if it ends again, report "
        "this text:\n{details}"
    ).format(code=exitCode, details=details)
