"""What the panel's buttons do."""

import qt
import slicer
from slicer.i18n import tr as _

from . import anomalySegments, banks, dependencies, runs, samples, sliceViews
from .buildBankDialog import BuildBankDialog
from .errors import ModuleError, RunCancelled
from .exclusionMasks import listMasks
from .logic import bankSteps
from .parameters import modelOf, optionsOf
from .resultNodes import Results
from .runs import Run

OPTIONS_DELAY_MS = 400


class PanelActions:
    """The slots of the panel; ``panel`` is the MIASSAMWidget."""

    def __init__(self, panel):
        self.panel, self.jobs, self.state = panel, panel.jobs, panel.state
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(OPTIONS_DELAY_MS)
        self._timer.connect("timeout()", self._decodeWithNewOptions)
        self._dialog = None

    # Segmenting

    def onSegmentButton(self):
        if self.jobs.isBusy:
            self.jobs.cancel()
            return
        self._guarded(self._segment)

    def _segment(self):
        volumeNode = self.panel.parameters.inputVolume
        run = self.run()
        runs.checkRun(volumeNode, run, editedSegments="keep")
        edited = self._askAboutEdited(volumeNode)
        self._ensurePackages()
        self.state.showStatus(_("Starting..."))
        self.jobs.segment(volumeNode, run, edited, self._onSegmented, self._onFailure)

    def run(self):
        """Return the run that the parameters describe."""
        parameters = self.panel.parameters
        return Run(parameters.bankPath, modelOf(parameters), optionsOf(parameters))

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

    def _onSegmented(self, results):
        panel = self.panel
        panel.ui.deviceInUseLabel.text = _("used: {device}").format(device=results.record["device"])
        panel.showResults(results)
        sliceViews.showResults(results, panel.parameters.heatOpacity if panel.parameters else 0.5)
        notes = results.record["notes"]
        for note in notes:
            self.state.log(note)
        self.state.showStatus("\n".join((runs.summaryOf(results.record), *notes)))

    def onOptionsChanged(self):
        """Decode again when an option changed that needs no new encoding."""
        results = self.panel.results
        if results is None or self.jobs.isBusy or len(self.panel.corrections.undoStack):
            return
        made, wanted = runs.runOfRecord(results), self.run()
        if made.options != wanted.options and (made.bankPath, made.model) == (wanted.bankPath, wanted.model):
            self._timer.start()

    def _decodeWithNewOptions(self):
        panel = self.panel
        if panel.results is None or panel.parameters is None or self.jobs.isBusy:
            return
        try:
            self.jobs.segment(panel.results.inputVolume, self.run(), "refuse", self._onSegmented, self._onFailure)
        except ModuleError as error:
            self.state.showStatus(str(error))

    # Memory banks

    def onBankBrowseButton(self):
        path = qt.QFileDialog.getExistingDirectory(
            self.panel.parent, _("Choose a memory bank (NAME.bank)"), str(banks.bankFolder())
        )
        if path:
            self.panel.parameters.bankPath = str(path)

    def onBuildBankButton(self):
        volumes = [
            node
            for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            if node.GetAttribute("MIASSAM.Result") is None and not node.IsA("vtkMRMLLabelMapVolumeNode")
        ]
        if not volumes:
            self.state.showStatus(_("Load volumes of normal anatomy first; a memory bank is built from them."))
            return
        self._dialog = BuildBankDialog(volumes, listMasks(), self.panel.parent, self._onBankDescribed)
        self._dialog.open()

    def _onBankDescribed(self, bank):
        self._guarded(lambda: self._buildBank(bank))

    def _buildBank(self, bank):
        self._ensurePackages()
        folder = banks.bankFolder()
        folder.mkdir(parents=True, exist_ok=True)
        options = {"modality": bank.modality, "anatomy": bank.anatomy}
        session, model = self.jobs.worker.session, modelOf(self.panel.parameters)
        path = folder / f"{bank.name}.bank"
        steps = bankSteps(session, bank.volumes, path, model, bank.excludeMasks, options)
        self.jobs.startAfter(steps, "build_bank", self._onBankBuilt, self._onFailure)

    def _onBankBuilt(self, answer):
        self.panel.parameters.bankPath = answer["path"]
        self.state.showStatus(
            _("The memory bank was built from {count} normal slices.").format(count=answer["n_slices"])
        )

    # Samples, models, packages

    def onLoadSampleButton(self):
        self._guarded(self._loadSample)

    def _loadSample(self):
        self._ensurePackages()
        sample = samples.SAMPLES[int(self.panel.ui.sampleComboBox.currentIndex)]
        samples.startLoading(self.jobs, sample, self._onSampleLoaded, self._onFailure)

    def _onSampleLoaded(self, volumeNode, bankPath):
        parameters = self.panel.parameters
        parameters.inputVolume = volumeNode
        parameters.bankPath = bankPath
        slicer.util.setSliceViewerLayers(background=volumeNode)
        sliceViews.fitViews()
        self.state.showStatus(_("The sample is loaded. Click 'Segment anomalies'."))

    def onCheckpointBrowseButton(self):
        path = qt.QFileDialog.getOpenFileName(self.panel.parent, _("Choose a checkpoint"), "", "*.pth *.pt")
        path = path[0] if isinstance(path, tuple) else path
        if path:
            self.panel.parameters.checkpointPath = str(path)

    def onDownloadModelButton(self):
        model = self.panel.parameters.model
        if slicer.util.confirmOkCancelDisplay(
            _("Download {model} from the servers of its authors? It is verified and kept in your user folder.").format(
                model=model.label()
            )
        ):
            self._guarded(
                lambda: self.jobs.start("fetch_model", {"name": model.value}, self._onModelFetched, self._onFailure)
            )

    def _onModelFetched(self, answer):
        self.state.showStatus(_("The model is ready: {path}").format(path=answer["path"]))

    def onRemoveModelsButton(self):
        if slicer.util.confirmOkCancelDisplay(_("Delete all downloaded models? They can be downloaded again.")):
            self._guarded(lambda: self.jobs.start("remove_models", {}, self._onModelsRemoved, self._onFailure))

    def _onModelsRemoved(self, answer):
        self.state.showStatus(_("Freed {size} MB.").format(size=round(answer["freed_bytes"] / 1e6)))

    def onInstallButton(self):
        self._guarded(self._install)

    def _install(self):
        installed = self._ensurePackages()
        self.state.showStatus(_("The packages are installed.") if installed else _("Everything is installed already."))

    def onEditButton(self):
        sliceViews.openSegmentEditor(self.panel.results)

    # Failures

    def _ensurePackages(self):
        return dependencies.ensurePackages(
            lambda text: slicer.util.confirmOkCancelDisplay(text, windowTitle=_("MIAS-SAM")), self._say
        )

    def _say(self, text):
        self.state.showStatus(text)
        self.state.log(text)
        slicer.app.processEvents()

    def _guarded(self, action):
        try:
            action()
        except ModuleError as error:
            self._onFailure(error)

    def _onFailure(self, error):
        text = str(error)
        if getattr(error, "kind", "") == "CheckpointError":
            text += "\n" + _("In this panel: click 'Download...', or choose 'Checkpoint file...' as model.")
        self.state.showStatus(text)
        self.state.log(text)
        if not isinstance(error, RunCancelled):
            slicer.util.errorDisplay(text, windowTitle=_("MIAS-SAM"))
