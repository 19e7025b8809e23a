"""MIASSAMWidget: the panel. It binds parameters and events; the work is done by Jobs and PointCorrections."""

import sys

import slicer
import vtk
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleWidget
from slicer.util import VTKObservationMixin

from . import sliceViews
from .actions import PanelActions
from .boxPrompt import BoxPrompt
from .corrections import PointCorrections
from .jobs import Jobs
from .keys import PanelKeys
from .logic import MIASSAMLogic
from .panelState import PanelState
from .parameters import connectGui, regionOf, setRegionNode
from .resultNodes import Results
from .resultsTable import ResultsTable
from .teaching import TeachingActions
from .volumes import isInput, listInputs, worldFromIjk


class MIASSAMWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel."""

    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._parameterNode = None
        self._disconnectGui = None
        self._hidden = None

    def setup(self):
        """Build the panel; nothing is installed, downloaded or computed here."""
        ScriptedLoadableModuleWidget.setup(self)
        panel = slicer.util.loadUI(self.resourcePath("UI/MIASSAM.ui"))
        self.layout.addWidget(panel)
        self.ui = slicer.util.childWidgetVariables(panel)
        panel.setMRMLScene(slicer.mrmlScene)
        self.logic = MIASSAMLogic()
        self.state = PanelState(self.ui)
        self.jobs = Jobs(self._onBusy, self.state.showProgress, self.state.log)
        self.corrections = PointCorrections(self.jobs.redecode, self._onCorrectionMessage, self._onCorrected)
        self.box = BoxPrompt(self.corrections.correctByBox, self._onCorrectionMessage)
        self.table = ResultsTable(self.ui.resultsTable, self._onFindingChosen)
        self.actions = PanelActions(self)
        self.teaching = TeachingActions(self.actions)
        self.keys = PanelKeys(
            {
                "Ctrl+Z": self._onUndo,
                "I": self._onAddInsideButton,
                "O": self._onAddOutsideButton,
                "B": self._onBoxButton,
                "N": self._onNextButton,
                "P": self._onPreviousButton,
            }
        )
        self._connectWidgets()
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneEndClose)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneEndImport)
        self.addObserver(scene, scene.NodeRemovedEvent, self._onNodeRemoved)
        self.showResults(None)
        self.initializeParameterNode()

    def _connectWidgets(self):
        for button, slot in (
            (self.ui.segmentButton, self.actions.onSegmentButton),
            (self.ui.bankBrowseButton, self.actions.onBankBrowseButton),
            (self.ui.buildBankButton, self.actions.onBuildBankButton),
            (self.ui.importBankButton, self.actions.onImportBankButton),
            (self.ui.checkpointBrowseButton, self.actions.onCheckpointBrowseButton),
            (self.ui.downloadModelButton, self.actions.onDownloadModelButton),
            (self.ui.loadSampleButton, self.actions.onLoadSampleButton),
            (self.ui.installButton, self.actions.onInstallButton),
            (self.ui.removeModelsButton, self.actions.onRemoveModelsButton),
            (self.ui.severalButton, self.actions.onSeveralButton),
            (self.ui.framesButton, self.actions.onFramesButton),
            (self.ui.versionsButton, self.actions.onVersionsButton),
            (self.ui.bankFolderButton, self.actions.onBankFolderButton),
            (self.ui.modelFolderButton, self.actions.onModelFolderButton),
            (self.ui.previousButton, self._onPreviousButton),
            (self.ui.nextButton, self._onNextButton),
            (self.ui.saveTableButton, self.actions.onSaveTableButton),
            (self.ui.addInsideButton, self._onAddInsideButton),
            (self.ui.addOutsideButton, self._onAddOutsideButton),
            (self.ui.boxButton, self._onBoxButton),
            (self.ui.normalButton, self.teaching.onNormalButton),
            (self.ui.normalBoxButton, self.teaching.onNormalBoxButton),
            (self.ui.unlearnButton, self.teaching.onUnlearnButton),
            (self.ui.undoButton, self._onUndo),
            (self.ui.resetSliceButton, self._onResetSliceButton),
            (self.ui.editButton, self.actions.onEditButton),
        ):
            button.connect("clicked(bool)", slot)
        self.ui.bankComboBox.connect("currentIndexChanged(int)", self._onBankChosen)
        self.ui.regionSelector.connect("currentNodeChanged(vtkMRMLNode*)", self._onRegionChosen)
        self.ui.regionSegmentComboBox.connect("currentIndexChanged(int)", self._onRegionSegmentChosen)

    def cleanup(self):
        """The application closes or the module is reloaded."""
        self.box.stop()
        self.corrections.watch(None)
        self.corrections.removeObservers()
        self.jobs.close()
        self.logic.close()
        self.keys.stop()
        self.removeObservers()

    def enter(self):
        self.initializeParameterNode()
        self.state.showBanks(self.parameters.bankPath)
        self.keys.start(slicer.util.mainWindow() or self.parent)

    def exit(self):
        self.keys.stop()
        self.box.stop()
        self._setParameterNode(None)

    def onReload(self):
        """Load the packages anew, too."""
        for name in [name for name in sys.modules if name.split(".")[0] in ("MIASSAMLib", "MIASSAMSlicerLib")]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    # Parameters and scene

    @property
    def parameters(self):
        """The typed parameter node, None while a scene is being closed."""
        return self._parameterNode

    @property
    def results(self):
        """The results of the selected input; None where there are none."""
        return self.corrections.results

    def initializeParameterNode(self):
        """Bind the scene's parameters, and choose the first volume where none is chosen."""
        self._hideResults()
        self._setParameterNode(self.logic.getParameterNode())
        if self._parameterNode.inputVolume is None:
            for first in listInputs()[:1]:
                self._parameterNode.inputVolume = first

    def _hideResults(self):
        """Keep heat maps out of the list of inputs."""
        volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        hidden = [node.GetID() for node in volumes if not isInput(node)]
        if hidden != self._hidden:
            self._hidden = hidden
            self.ui.inputSelector.sortFilterProxyModel().hiddenNodeIDs = hidden

    def _setParameterNode(self, parameterNode):
        if self._parameterNode is not None:
            self._disconnectGui()
            self.removeObserver(
                self._parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged
            )
        self._parameterNode = parameterNode
        if parameterNode is not None:
            self._disconnectGui = connectGui(parameterNode, self.ui)
            self.addObserver(parameterNode.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onParametersChanged)
            self._onParametersChanged()

    def _onSceneStartClose(self, _caller=None, _event=None):
        self.jobs.cancel()
        self.jobs.closeVolumes()
        self.box.stop()
        self.corrections.watch(None)
        self._setParameterNode(None)

    def _onSceneEndClose(self, _caller=None, _event=None):
        if self.parent.isEntered:
            self.initializeParameterNode()
            self.showResults(None)

    def _onSceneEndImport(self, _caller=None, _event=None):
        if self.parent.isEntered:
            self.initializeParameterNode()
            self.showResults(Results.of(self._parameterNode.inputVolume))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _onNodeRemoved(self, _caller, _event, node):
        results = self.corrections.results
        self.jobs.closeVolume(node.GetID())
        if results is not None and node in (results.inputVolume, results.segmentation, results.heat, results.points):
            self.showResults(None)

    def _onParametersChanged(self, _caller=None, _event=None):
        parameters = self._parameterNode
        if parameters is None:
            return
        self.state.showModel(parameters)
        self.state.showBank(parameters.bankPath)
        self.state.showRegion(regionOf(parameters))
        self.state.showReadiness(parameters, self.jobs.isBusy)
        current = self.corrections.results.inputVolume if self.corrections.results else None
        if parameters.inputVolume is not current:
            self.showResults(Results.of(parameters.inputVolume))
        self.state.showPointing(self.results is not None or self.actions.canPoint(parameters))
        self.state.showTeaching(self.results, parameters.bankPath)
        if self.results is not None and self.results.heat is not None:
            sliceViews.setHeatOpacity(parameters.heatOpacity, self.results.heat)
        self.actions.onOptionsChanged()

    def _onBankChosen(self, index):
        if self._parameterNode is not None:
            self._parameterNode.bankPath = str(self.ui.bankComboBox.itemData(index) or "")

    def _onRegionChosen(self, node):
        if self._parameterNode is not None:
            setRegionNode(self._parameterNode, node)

    def _onRegionSegmentChosen(self, index):
        if self._parameterNode is not None:
            self._parameterNode.regionSegment = str(self.ui.regionSegmentComboBox.itemData(index) or "")

    # Results and corrections

    def showResults(self, results):
        """Show these results, or that there are none, and watch their points."""
        self._hideResults()
        self.box.stop()
        self.corrections.watch(results)
        shown = self.corrections.results
        self.table.show(shown.record if shown else {})
        self.state.showResults(shown, False)
        self.state.showTeaching(shown, self._parameterNode.bankPath if self._parameterNode is not None else "")
        self.state.showPointing(shown is not None or self.actions.canPoint(self._parameterNode))

    def _onBusy(self, isBusy):
        self.state.showBusy(isBusy)
        self.state.showReadiness(self._parameterNode, isBusy)

    def _onFindingChosen(self, sliceIndex, finding):
        sliceViews.jumpTo(worldFromIjk(self.corrections.results.inputVolume, finding["cog_ijk"]))
        self.state.showStatus(_("Slice {index}, anomaly {lesion}.").format(index=sliceIndex, lesion=finding["lesion"]))

    def _onCorrectionMessage(self, text):
        self.state.showStatus(text)
        self.state.log(text)

    def _onCorrected(self):
        self.state.showCorrections(len(self.corrections.undoStack) > 0)
        if self.corrections.isBusy:
            self.state.showStatus(_("Outlining again..."))
        else:
            self.table.renew(self.results.record)
            self.state.showStatus(_("The correction was applied."))

    def _place(self, isOutside):
        def start():
            self.box.stop()
            self.corrections.placesOutside = isOutside
            sliceViews.startPlacing(self.results.points)

        self.actions.startPointing(start)

    def _onAddInsideButton(self):
        self._place(isOutside=False)

    def _onAddOutsideButton(self):
        self._place(isOutside=True)

    def _onBoxButton(self):
        self.actions.startPointing(lambda: self.box.start(self.results))

    def _onNextButton(self):
        self.table.step(1)

    def _onPreviousButton(self):
        self.table.step(-1)

    def _onUndo(self):
        if self.corrections.undo():
            self.state.showStatus(_("The last correction was taken back."))

    def _onResetSliceButton(self):
        index = self.table.currentSlice
        if index is None:
            self.state.showStatus(_("Choose a row of the results first; its slice is reset."))
        elif self.corrections.resetSlice(index):
            self.state.showStatus(_("Slice {index} is again what the run found.").format(index=index))
        else:
            self.state.showStatus(_("Slice {index} was not corrected.").format(index=index))
