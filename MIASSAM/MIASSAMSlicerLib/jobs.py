"""The panel's work: asked of the child process, answered by events, written in short steps."""

from pathlib import Path

import qt
from slicer.i18n import tr as _

from . import runs
from .errors import ModuleError, RunCancelled
from .workerProcess import ProcessWorker


class Jobs:
    """One worker and the one job the user waits for; corrections run beside it.

    onBusy(isBusy) follows the job; onProgress(stage, done, total) and onLog(text) what it says.
    """

    def __init__(self, onBusy, onProgress, onLog, worker=None):
        self.worker = worker if worker is not None else ProcessWorker()
        self._onBusy, self._onProgress, self._onLog = onBusy, onProgress, onLog
        self._current = None
        self._isCancelled = False
        self._open = {}

    @property
    def isBusy(self):
        return self._current is not None

    def close(self):
        """End the child process; nothing is left behind."""
        self.worker.close()
        self._open = {}

    def cancel(self):
        """Stop the job the user waits for."""
        if self._current is not None:
            self._isCancelled = True
            self.worker.cancel(self._current)

    def start(self, verb, arguments, onResult, onFailure):
        """Ask as the user's job."""
        if self.isBusy:
            raise ModuleError(_("Something is running already. Wait until it is done, or cancel it."))
        self._isCancelled = False
        self._begin(
            self.worker.ask(
                verb, arguments, self._ending(onResult), self._ending(onFailure), self._onProgress, self._onLog
            )
        )

    def segment(self, volumeNode, run, editedSegments, onResults, onFailure):
        """Segment a volume and write the results into the scene."""
        runs.checkRun(volumeNode, run, editedSegments)
        key = runs.volumeKey(volumeNode)

        def write(answer):
            session = self.worker.session
            qt.QTimer.singleShot(
                0, lambda: self._write(volumeNode, run, session, answer, editedSegments, onResults, onFailure)
            )

        def ask(_opened=None):
            self.start("segment", run.arguments(key), write, onFailure)

        self._whenOpen(volumeNode, key, ask, onFailure, isJob=True)

    def redecode(self, results, sliceIndex, lesion, onPart, onFailure):
        """Decode one part again; the volume is sent first where the worker does not have it."""
        key = runs.volumeKey(results.inputVolume)

        def take(answer):
            onPart(self.worker.session.takeArray(answer["mask"]), answer)

        def ask(_opened=None):
            self.worker.ask(
                "redecode", runs.redecodeArguments(results, sliceIndex, lesion), take, onFailure, onLog=self._onLog
            )

        self._whenOpen(results.inputVolume, key, ask, onFailure)

    def _write(self, volumeNode, run, session, answer, editedSegments, onResults, onFailure):
        if self._isCancelled or volumeNode.GetScene() is None:  # the answer was faster than the wish to stop
            for name in (answer["heat"], answer["labels"]):
                session.takeArray(name)
            onFailure(RunCancelled(_("Stopped. Nothing was changed.")))
            return
        try:
            results = runs.applySegmentation(volumeNode, run, session, answer, editedSegments)
        except ModuleError as error:
            onFailure(error)
            return
        onResults(results)

    def _whenOpen(self, volumeNode, key, then, onFailure, isJob=False):
        session = self.worker.session
        if self._open.get("session") is not session:
            self._open = {"session": session, "keys": set()}
        if key in self._open["keys"]:
            then()
            return
        arguments = runs.openVolumeArguments(session, volumeNode)
        keys = self._open["keys"]

        def opened(_answer):
            (Path(session.folder) / arguments["array"]).unlink(missing_ok=True)
            keys.add(key)
            if isJob and self._isCancelled:
                onFailure(RunCancelled(_("Stopped. Nothing was changed.")))
            else:
                then()

        if isJob:
            self.start("open_volume", arguments, opened, onFailure)
        else:
            self.worker.ask("open_volume", arguments, opened, onFailure)

    def _begin(self, number):
        self._current = number
        self._onBusy(True)

    def _ending(self, callback):
        def end(outcome):
            self._current = None
            self._onBusy(False)
            callback(outcome)

        return end
