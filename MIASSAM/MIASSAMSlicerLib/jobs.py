"""The panel's work: asked of the child process, answered by events, written in short steps."""

from pathlib import Path

from slicer.i18n import tr as _

from . import runs
from .errors import ModuleError, RunCancelled
from .runs import Target
from .steps import runInTurns
from .workerProcess import ProcessWorker

_STEPS = "steps"
"""What the job is while this side works for it, not the worker."""


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
            if self._current is not _STEPS:
                self.worker.cancel(self._current)

    def start(self, verb, arguments, onResult, onFailure):
        """Ask as the user's job."""
        self._startAnew()
        self._ask(verb, arguments, onResult, onFailure)

    def startAfter(self, steps, verb, onResult, onFailure):
        """Take steps that return the arguments of a request, then ask it; all of it is the user's job."""
        self._startAnew()
        self._takeSteps(steps, lambda arguments: self._ask(verb, arguments, onResult, onFailure), onFailure)

    def segment(self, target, run, editedSegments, onResults, onFailure):
        """Segment a volume and write the results into the scene."""
        runs.checkRun(target.volume, run, editedSegments)
        self._startAnew()
        key = target.key  # reading a region changes the time of its node

        def write(answer):
            steps = runs.applySteps(target, run, self.worker.session, answer, editedSegments)
            self._takeSteps(steps, onResults, onFailure, lambda: target.volume.GetScene() is None)

        def ask():
            self._ask("segment", run.arguments(key), write, onFailure)

        self._whenOpen(target, ask, onFailure)

    def teach(self, results, normal, words, onTaught, onFailure):
        """Teach the bank of these results that a part of their volume is normal.

        normal: uint8 (K, J, I). words: what it is called.
        """
        self._startAnew()
        target = Target.ofResults(results)
        key = target.key

        def send():
            steps = runs.teachSteps(self.worker.session, results, key, normal, words)
            self._takeSteps(
                steps, lambda arguments: self._ask("teach_normal", arguments, onTaught, onFailure), onFailure
            )

        self._whenOpen(target, send, onFailure)

    def openOnDemand(self, target, run, onResults, onFailure):
        """Open a volume and make the results that the user's points and boxes will fill."""
        run.check()
        self._startAnew()
        steps = runs.openVolumeSteps(self.worker.session, target)
        self._isOpen(target.key)  # forgets what an earlier process had open

        def send(arguments):
            def opened(answer):
                self._opened(target, arguments, lambda: onResults(runs.resultsOnDemand(target, run, answer)))(answer)

            self._ask("open_volume", arguments, opened, onFailure)

        self._takeSteps(steps, send, onFailure, lambda: target.volume.GetScene() is None)

    def redecode(self, results, part, onPart, onFailure):
        """Decode one part again; the volume is sent first where the worker does not have it.

        part: a `corrections.Part`.
        """
        target = Target.ofResults(results)

        def take(answer):
            onPart(self.worker.session.takeArray(answer["mask"]), answer)

        def ask():
            arguments = runs.redecodeArguments(results, part.sliceIndex, part.lesion, part.boxIjk)
            self.worker.ask("redecode", arguments, take, onFailure, onLog=self._onLog)

        def send(arguments):
            self.worker.ask("open_volume", arguments, self._opened(target, arguments, ask), onFailure)

        if self._isOpen(target.key):
            ask()
        else:
            steps = runs.openVolumeSteps(self.worker.session, target)
            runInTurns(steps, lambda isFinal: False, send, send, lambda error: onFailure(asModuleError(error)))

    def closeVolume(self, volumeID):
        """Let the worker forget a volume that has left the scene."""
        key = self._open.get("keys", {}).pop(volumeID, None)
        if key is not None and self.worker.isRunning and self._open["session"] is self.worker.session:
            self.worker.ask("close_volume", {"key": key})

    def closeVolumes(self):
        """Let the worker forget every volume."""
        for volumeID in list(self._open.get("keys", {})):
            self.closeVolume(volumeID)

    def _whenOpen(self, target, then, onFailure):
        """Send a volume as part of the user's job, unless the worker has it, and go on."""
        if self._isOpen(target.key):
            then()
            return
        self._takeSteps(
            runs.openVolumeSteps(self.worker.session, target),
            lambda arguments: self._ask("open_volume", arguments, self._opened(target, arguments, then), onFailure),
            onFailure,
        )

    def _isOpen(self, key):
        session = self.worker.session
        if self._open.get("session") is not session:
            self._open = {"session": session, "keys": {}}
        return key in self._open["keys"].values()

    def _opened(self, target, arguments, then):
        session, volumeID = self.worker.session, target.volume.GetID()

        def opened(answer):
            for name in ("array", "region"):
                if name in arguments:
                    (Path(session.folder) / arguments[name]).unlink(missing_ok=True)
            self.closeVolume(volumeID)  # what it was before it was edited
            self._open["keys"][volumeID] = arguments["key"]
            then()

        return opened

    def _startAnew(self):
        if self.isBusy:
            raise ModuleError(_("Something is running already. Wait until it is done, or cancel it."))
        self._isCancelled = False

    def _ask(self, verb, arguments, onResult, onFailure):
        if self._isCancelled:
            onFailure(stopped())
            return
        self._begin(
            self.worker.ask(
                verb, arguments, self._ending(onResult), self._ending(onFailure), self._onProgress, self._onLog
            )
        )

    def _takeSteps(self, steps, onDone, onFailure, isGone=lambda: False):
        """Take steps as the user's job, one in each turn of the event loop."""
        self._begin(_STEPS)
        end = self._ending(onFailure)

        def failed(error):
            end(asModuleError(error))
            if not isinstance(error, (ModuleError, OSError)):
                raise error

        runInTurns(
            steps,
            lambda isFinal: isGone() or (self._isCancelled and not isFinal),
            self._ending(onDone),
            lambda: end(stopped()),
            failed,
        )

    def _begin(self, number):
        self._current = number
        self._onBusy(True)

    def _ending(self, callback):
        def end(outcome):
            self._current = None
            self._onBusy(False)
            callback(outcome)

        return end


def stopped():
    """Return what is said when the user stopped the work."""
    return RunCancelled(_("Stopped. Nothing was changed."))


def asModuleError(error):
    """Return an error as one whose text is for the user."""
    if isinstance(error, ModuleError):
        return error
    if isinstance(error, OSError):
        return ModuleError(
            _("Writing to the folder for temporary files failed: {error}. Check the free disk space.").format(
                error=error
            )
        )
    return ModuleError(
        _("Unexpected {kind}: {error}. Try again; if it comes again, report it with the text of Slicer's log.").format(
            kind=type(error).__name__, error=error
        )
    )
