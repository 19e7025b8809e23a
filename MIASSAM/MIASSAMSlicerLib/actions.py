"""What the panel's buttons do with volumes, banks and samples."""

from dataclasses import asdict, replace

import qt
import slicer
from slicer.i18n import tr as _

from . import anomalySegments, banks, findingsTable, runs, samples, sliceViews
from .buildBankDialog import BuildBankDialog
from .chooseVolumesDialog import ChooseVolumesDialog
from .errors import ModuleError, RunCancelled
from .frames import FrameRun
from .logic import bankSteps
from .maintenance import MaintenanceActions
from .masks import listMasks
from .parameters import modelOf, optionsOf, regionOf
from .resultNodes import Results
from .runs import Run, Target
from .volumes import checkVolume, listInputs

OPTIONS_DELAY_MS = 400


class PanelActions(MaintenanceActions):
    """The slots of the panel; ``panel`` is the MIASSAMWidget."""

    def __init__(self, panel):
        super().__init__(panel)
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(OPTIONS_DELAY_MS)
        self._timer.connect("timeout()", self._decodeWithNewOptions)
        self._dialog = None
        self._waiting, self._failed = [], []

    # Segmenting

    def onSegmentButton(self):
        if self.jobs.isBusy:
            self._waiting = []
            self.jobs.cancel()
            return
        self.guarded(self._segment)

    def _segment(self):
        target = self.target()
        run = self.run()
        runs.checkRun(target.volume, run, editedSegments="keep")
        edited = self._askAboutEdited(target.volume)
        self._ensurePackages()
        self._start(target, run, edited)

    def _start(self, target, run, edited):
        isFirst = Results.of(target.volume) is None
        self.state.showStatus(_("Starting..."))
        self.jobs.segment(
            target, run, edited, lambda results: self._onSegmented(results, isFirst), self._onSegmentFailure
        )

    def run(self):
        """Return the run that the parameters describe."""
        parameters = self.parameters
        return Run(
            parameters.bankPath,
            modelOf(parameters),
            optionsOf(parameters),
            regionSegment=parameters.regionSegment,
        )

    def target(self):
        """Return what the parameters say is segmented, and where the segments go."""
        parameters = self.parameters
        return Target(parameters.inputVolume, regionOf(parameters), parameters.outputSegmentation)

    def startPointing(self, then):
        """Call then() once there are results whose points and boxes can be outlined; without a bank they are empty."""
        panel, parameters = self.panel, self.parameters
        if panel.results is not None:
            then()
        elif self.canPoint(parameters) and not self.jobs.isBusy:

            def opened(results):
                panel.showResults(results)
                if sliceViews.isOblique(results.inputVolume):
                    sliceViews.alignViews(results.inputVolume)
                then()

            def start():
                checkVolume(parameters.inputVolume)
                self._ensurePackages()
                target = Target(parameters.inputVolume, None, parameters.outputSegmentation)
                self.jobs.openOnDemand(target, self.run(), opened, self.onFailure)

            self.guarded(start)

    @staticmethod
    def canPoint(parameters):
        """Tell whether points need no search before them."""
        return parameters is not None and parameters.inputVolume is not None and not parameters.bankPath

    def _askAboutEdited(self, volumeNode):
        results = Results.of(volumeNode)
        names = anomalySegments.editedSegmentNames(results.segmentation, volumeNode) if results else []
        if not names:
            return "keep"
        replaces = slicer.util.confirmYesNoDisplay(
            _(
                "These segments were edited: {names}. Replace them by the new result? 'No' keeps them beside the new "
                "segments."
            ).format(names=", ".join(names)),
            windowTitle=_("MIAS-SAM"),
        )
        return "replace" if replaces else "keep"

    def _onSegmented(self, results, isFirst=False):
        panel = self.panel
        panel.ui.deviceInUseLabel.text = _("used: {device}").format(device=results.record["device"])
        panel.showResults(results)
        sliceViews.showResults(results, self.parameters.heatOpacity, isFirst)
        notes = results.record["notes"]
        for note in notes:
            self.state.log(note)
        if isFirst:
            panel.table.step(1)
        self.state.showStatus("\n".join((runs.summaryOf(results.record), *notes)))  # what bounds the result stays
        self._segmentNext()

    def onFramesButton(self):
        """Segment all frames of the sequence whose frame the input shows."""
        run = self.run()

        def segment(target, onResults, onFailure):
            self.jobs.segment(target, run, "refuse", onResults, onFailure)

        def start():
            runs.checkRun(self.parameters.inputVolume, run)
            self._ensurePackages()
            self._frames = FrameRun(self.parameters.inputVolume, segment, self._say, self.onFailure)
            self._frames.start()

        self.guarded(start)

    def onSeveralButton(self):
        """Ask for volumes and segment one after the other."""
        volumes = listInputs()
        if not volumes:
            self.state.showStatus(_("Load a volume and choose it as input."))
            return
        self._dialog = ChooseVolumesDialog(volumes, self.panel.parent, self._onSeveralChosen)
        self._dialog.open()

    def _onSeveralChosen(self, volumes):
        def start():
            self._ensurePackages()
            self._waiting, self._failed = list(volumes), []
            self._segmentNext()

        self.guarded(start)

    def _segmentNext(self):
        """Go on with the next of several volumes; at the end say which failed, and why."""
        while self._waiting and not self.jobs.isBusy:
            volumeNode = self._waiting.pop(0)
            if volumeNode.GetScene() is None:
                continue
            self.parameters.inputVolume = volumeNode
            try:
                self._start(Target(volumeNode, regionOf(self.parameters)), self.run(), "keep")
            except ModuleError as error:
                self._failed.append(f"{volumeNode.GetName()}: {error}")
        if not self._waiting and not self.jobs.isBusy and self._failed:
            failed, self._failed = self._failed, []
            self.onFailure(ModuleError(_("Not segmented:\n{list}").format(list="\n".join(failed))))

    def _onSegmentFailure(self, error):
        if self._waiting and not isinstance(error, RunCancelled):
            self._failed.append(f"{self.parameters.inputVolume.GetName()}: {error}")
            self._segmentNext()
            return
        self._waiting = []
        self.onFailure(error)

    def onOptionsChanged(self):
        """Decode again when an option changed that needs no new encoding."""
        results = self.panel.results
        if results is None or self.jobs.isBusy:
            return
        made, wanted = runs.runOfRecord(results), self.run()
        if results.isOnDemand:
            if not wanted.bankPath and made != wanted:
                results.record = {**results.record, "request": asdict(wanted)}
            return
        if len(self.panel.corrections.undoStack):
            return
        if made.options != wanted.options and replace(made, options={}) == replace(wanted, options={}):
            self._timer.start()

    def _decodeWithNewOptions(self):
        panel = self.panel
        if panel.results is None or panel.parameters is None or self.jobs.isBusy:
            return
        try:
            target = Target.ofResults(panel.results)
            self.jobs.segment(target, self.run(), "refuse", self._onSegmented, self.onFailure)
        except ModuleError as error:
            self.state.showStatus(str(error))

    def onSaveTableButton(self):
        """Save the table of findings where the user says."""
        path = qt.QFileDialog.getSaveFileName(self.panel.parent, _("Save the table of findings"), "", "*.csv *.tsv")
        path = path[0] if isinstance(path, tuple) else path
        if not path:
            return
        path = str(path) if str(path).lower().endswith((".csv", ".tsv")) else f"{path}.csv"
        if findingsTable.saveTable(self.panel.results, path):
            self.state.showStatus(_("The table was saved: {path}").format(path=path))
        else:
            self.onFailure(ModuleError(_("{path} could not be written. Choose another folder.").format(path=path)))

    def onEditButton(self):
        sliceViews.openSegmentEditor(self.panel.results)

    # Memory banks

    def onBankBrowseButton(self):
        path = qt.QFileDialog.getExistingDirectory(
            self.panel.parent, _("Choose a memory bank (NAME.bank)"), str(banks.bankFolder())
        )
        if path:
            self.parameters.bankPath = str(path)

    def onBuildBankButton(self):
        volumes = listInputs()
        if not volumes:
            self.state.showStatus(_("Load volumes of normal anatomy first; a memory bank is built from them."))
            return
        self._dialog = BuildBankDialog(volumes, listMasks(), self.panel.parent, self._onBankDescribed)
        self._dialog.open()

    def _onBankDescribed(self, bank):
        self.guarded(lambda: self._buildBank(bank))

    def _buildBank(self, bank):
        self._ensurePackages()
        folder = banks.bankFolder()
        folder.mkdir(parents=True, exist_ok=True)
        options = {"modality": bank.modality, "anatomy": bank.anatomy}
        session, model = self.jobs.worker.session, modelOf(self.parameters)
        path = folder / f"{bank.name}.bank"
        steps = bankSteps(session, bank.volumes, path, model, bank.excludeMasks, options)
        self.jobs.startAfter(steps, "build_bank", self._onBankBuilt, self.onFailure)

    def _onBankBuilt(self, answer):
        self.parameters.bankPath = answer["path"]
        self.state.showStatus(
            _("The memory bank was built from {count} normal slices.").format(count=answer["n_slices"])
        )

    # Samples

    def onLoadSampleButton(self):
        self.guarded(self._loadSample)

    def _loadSample(self):
        self._ensurePackages()
        sample = samples.SAMPLES[int(self.panel.ui.sampleComboBox.currentIndex)]
        samples.startLoading(self.jobs, sample, self._onSampleLoaded, self.onFailure)

    def _onSampleLoaded(self, volumeNode, bankPath):
        parameters = self.parameters
        parameters.inputVolume = volumeNode
        parameters.bankPath = bankPath
        slicer.util.setSliceViewerLayers(background=volumeNode)
        sliceViews.fitViews()
        self.state.showStatus(_("The sample is loaded. Click 'Segment anomalies'."))
