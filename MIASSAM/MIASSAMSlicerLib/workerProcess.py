"""The worker for the panel: a QProcess whose answers arrive as events, so that the window never waits."""

from collections import deque

import qt
from slicer.i18n import tr as _

from .errors import ModuleError, RunCancelled, WorkerError
from .workerBlocking import endedText
from .workerSession import WorkerSession, _ignore, workerCommand

CANCEL_PATIENCE_MS = 1200
"""A worker that does not stop on request within this time is ended."""


def _bytes(data):
    """PythonQt hands out QByteArray; its data() is bytes, or str in older builds."""
    raw = data.data()
    return raw.encode("utf-8", "surrogateescape") if isinstance(raw, str) else bytes(raw)


class ProcessWorker:
    """Starts the child on the first question; keeps it warm until ``close``."""

    def __init__(self, command=workerCommand):
        self._command = command
        self._process = None
        self._session = None
        self._errorLines = deque(maxlen=12)
        self._startFailure = ""

    @property
    def session(self):
        """The running conversation; it is started where there is none.

        Raises ModuleError where the child cannot be started.
        """
        if self._process is None:
            self._start()
        if self._session is None:
            raise WorkerError(self._startFailure)
        return self._session

    @property
    def processId(self):
        """Process number of the child, 0 when none runs."""
        return int(self._process.processId()) if self._process is not None else 0

    @property
    def isRunning(self):
        return self._process is not None

    def ask(self, verb, arguments, onResult=_ignore, onFailure=_ignore, onProgress=_ignore, onLog=_ignore):
        """Send a request and return its number; the answers come as events."""
        return self.session.ask(verb, arguments, onResult, onFailure, onProgress, onLog)

    def cancel(self, number):
        """Stop a request: by a word first, by ending the child if that does not help."""
        session = self._session
        if session is None or not session.isWaiting(number):
            return
        session.cancel(number)

        def endIfStillWorking():
            if self._session is session and session.isWaiting(number):
                self._end(RunCancelled(_("Stopped. Nothing was changed.")))

        qt.QTimer.singleShot(CANCEL_PATIENCE_MS, endIfStillWorking)

    def close(self):
        """End the child and forget who waits."""
        if self._process is not None:
            self._end(RunCancelled(_("Stopped. Nothing was changed.")))

    def _start(self):
        session = WorkerSession(self._write)
        try:
            program, *arguments = self._command(session.folder)
        except ModuleError:
            session.close()
            raise
        self._session = session
        process = qt.QProcess()
        process.setProcessChannelMode(qt.QProcess.SeparateChannels)
        process.connect("readyReadStandardOutput()", self._onOutput)
        process.connect("readyReadStandardError()", self._onErrorOutput)
        process.connect("finished(int,QProcess::ExitStatus)", self._onFinished)
        process.connect("errorOccurred(QProcess::ProcessError)", self._onErrorOccurred)
        self._process = process
        process.start(program, arguments)

    def _write(self, data):
        self._process.write(data)

    def _onOutput(self):
        if self._process is not None:
            self._session.receive(_bytes(self._process.readAllStandardOutput()))

    def _onErrorOutput(self):
        if self._process is not None:
            text = _bytes(self._process.readAllStandardError()).decode(errors="replace")
            self._errorLines.extend(line for line in text.splitlines() if line.strip())

    def _onFinished(self, exitCode):
        self._forget(endedText(exitCode, self._errorLines))

    def _onErrorOccurred(self, _kind):
        if self._process is not None and self._process.state() == qt.QProcess.NotRunning:
            self._forget(endedText("-", [self._process.errorString()]))

    def _forget(self, text):
        if self._process is None:
            return
        process, session = self._process, self._session
        self._process, self._session, self._startFailure = None, None, text
        _deleteLater(process)
        session.close()
        session.fail(WorkerError(text))

    def _end(self, error):
        process, session = self._process, self._session
        self._process, self._session = None, None
        process.closeWriteChannel()
        process.kill()
        process.waitForFinished(1000)
        _deleteLater(process)
        session.close()
        session.fail(error)


def _deleteLater(process):
    """Let go of a QProcess only after the signal that told of its end has returned."""
    qt.QTimer.singleShot(0, lambda: process.deleteLater())
