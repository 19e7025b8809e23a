"""What the panel's widgets show: buttons, labels, progress and log."""

import qt
from slicer.i18n import tr as _

from . import banks, runs
from .frames import browserOf
from .samples import SAMPLES, sampleTitle

FETCHING = "fetching"
MEGABYTE = 1_000_000


class PanelState:
    """Writes the state of the module into the widgets of the panel."""

    def __init__(self, ui):
        self.ui = ui
        self._lastMissing, self._shownBank = "", None
        self.ui.progressBar.setVisible(False)
        header = self.ui.resultsTable.horizontalHeader()
        header.setSectionResizeMode(qt.QHeaderView.Stretch)
        header.setSectionResizeMode(2, qt.QHeaderView.ResizeToContents)  # its unit may be long
        for sample in SAMPLES:
            self.ui.sampleComboBox.addItem(sampleTitle(sample))

    def showBusy(self, isBusy):
        """The button that starts is the one that stops."""
        self.ui.segmentButton.text = _("Cancel") if isBusy else _("Segment anomalies")
        self.ui.progressBar.setVisible(isBusy)
        for widget in (
            self.ui.inputSelector,
            self.ui.bankComboBox,
            self.ui.bankBrowseButton,
            self.ui.modelComboBox,
            self.ui.deviceComboBox,
            self.ui.loadSampleButton,
            self.ui.sampleComboBox,
            self.ui.buildBankButton,
            self.ui.importBankButton,
            self.ui.downloadModelButton,
            self.ui.installButton,
            self.ui.removeModelsButton,
            self.ui.regionSelector,
            self.ui.regionSegmentComboBox,
            self.ui.outputSelector,
            self.ui.severalButton,
        ):
            widget.enabled = not isBusy
        if not isBusy:
            self.ui.progressBar.value = 0

    def showProgress(self, stage, done, total):
        unit = MEGABYTE if stage == FETCHING else 1  # the bar takes 32 bits
        self.ui.progressBar.maximum = max(total // unit, 1)
        self.ui.progressBar.value = done // unit
        self.showStatus(progressText(stage, done // unit, total // unit))

    def showStatus(self, text):
        self.ui.statusLabel.text = text

    def log(self, text):
        self.ui.logTextEdit.appendPlainText(text)

    def showReadiness(self, parameters, isBusy):
        """Enable the button when it can work, else say what is missing."""
        missing = self._missing(parameters)
        self.ui.segmentButton.enabled = isBusy or not missing
        self.ui.severalButton.enabled = not isBusy and parameters is not None
        self.ui.framesButton.visible = parameters is not None and browserOf(parameters.inputVolume) is not None
        self.ui.framesButton.enabled = not isBusy and not missing
        self.ui.segmentButton.toolTip = missing or _("Find and outline what is abnormal in the volume.")
        if missing and not isBusy:
            self.showStatus(missing)
        elif not missing and self.ui.statusLabel.text == self._lastMissing:
            self.showStatus("")
        self._lastMissing = missing

    @staticmethod
    def _missing(parameters):
        if parameters is None or parameters.inputVolume is None:
            return _("Load a volume and choose it as input.")
        if parameters.model.needsFile and not parameters.checkpointPath:
            return _("Choose a checkpoint file.")
        return ""

    def showModel(self, parameters):
        """Show the rows that the chosen model needs."""
        isFile = parameters.model.needsFile
        for widget in (self.ui.checkpointLabel, self.ui.checkpointLineEdit, self.ui.checkpointBrowseButton):
            widget.setVisible(isFile)
        self.ui.downloadModelButton.setVisible(parameters.model.entry.is_downloadable)

    def showBank(self, chosen):
        """Select the chosen bank; the folder is looked through only when the choice has changed."""
        if chosen != self._shownBank:
            self.showBanks(chosen)

    def showRegion(self, region):
        """Show which node bounds the search, and list its segments where it has more than one."""
        node = region.node if region is not None else None
        if self.ui.regionSelector.currentNode() is not node:
            self.ui.regionSelector.setCurrentNode(node)
        isSegmentation = node is not None and node.IsA("vtkMRMLSegmentationNode")
        segmentIDs = list(node.GetSegmentation().GetSegmentIDs()) if isSegmentation else []
        combo = self.ui.regionSegmentComboBox
        combo.setVisible(len(segmentIDs) > 1)
        wasBlocked = combo.blockSignals(True)
        combo.clear()
        combo.addItem(_("All segments"), "")
        for segmentID in segmentIDs:
            combo.addItem(node.GetSegmentation().GetSegment(segmentID).GetName(), segmentID)
        chosen = region.segmentID if region is not None else ""
        combo.currentIndex = segmentIDs.index(chosen) + 1 if chosen in segmentIDs else 0
        combo.blockSignals(wasBlocked)

    def showBanks(self, chosen):
        """List the user's banks, with the chosen one selected wherever it is."""
        paths = [str(path) for path in banks.listBanks()]
        if chosen and chosen not in paths:
            paths.append(chosen)
        combo = self.ui.bankComboBox
        self._shownBank = chosen
        wasBlocked = combo.blockSignals(True)
        combo.clear()
        combo.addItem(_("None (compare with the patient's own other side and tissue)"), "")
        for path in paths:
            combo.addItem(path.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".bank"), path)
        combo.currentIndex = paths.index(chosen) + 1 if chosen else 0
        combo.blockSignals(wasBlocked)
        self.ui.bankInfoLabel.text = banks.describeBank(chosen)

    def showResults(self, results, canUndo):
        """Show what was found, or that there is nothing yet."""
        hasResults = results is not None and results.isComplete
        self.ui.summaryLabel.text = runs.summaryOf(results.record) if hasResults else _("No results yet.")
        self.showPointing(hasResults)
        for widget in (
            self.ui.resetSliceButton,
            self.ui.previousButton,
            self.ui.nextButton,
            self.ui.saveTableButton,
            self.ui.show3DButton,
            self.ui.opacitySlider,
            self.ui.editButton,
        ):
            widget.enabled = hasResults and (widget is not self.ui.opacitySlider or results.heat is not None)
        self.ui.show3DButton.setSegmentationNode(results.segmentation if hasResults else None)
        self.showCorrections(canUndo)

    def showTeaching(self, results, bankPath):
        """Show whether there is something to teach a bank, or to take back."""
        canTeach = results is not None and results.isComplete
        for widget in (self.ui.normalButton, self.ui.normalBoxButton):
            widget.enabled = canTeach
        self.ui.unlearnButton.enabled = bool(banks.lessons(bankPath))

    def showPointing(self, canPoint):
        """Show whether there is something that points and boxes can outline."""
        for widget in (self.ui.addInsideButton, self.ui.addOutsideButton, self.ui.boxButton):
            widget.enabled = canPoint

    def showCorrections(self, canUndo):
        """Show whether there is a correction to take back."""
        self.ui.undoButton.enabled = canUndo


def progressText(stage, done, total):
    """Say how far a stage is; the library names the stages."""
    if stage == FETCHING:
        return _("Downloading: {done} of {total} MB").format(done=done, total=total)
    known = {
        "loading the model": _("Loading the model"),
        "generating the sample": _("Generating the sample"),
        "scoring slices": _("Comparing slices with the memory bank"),
        "outlining lesions": _("Outlining anomalies"),
        "segmenting slices": _("Segmenting slices"),
        "calibrating on held-out normal slices": _("Calibrating on normal slices that were held out"),
    }
    words = known.get(stage) or stage[:1].upper() + stage[1:]
    return _("{stage}: {done} of {total}").format(stage=words, done=done, total=total)
