"""Stand-ins for the qMRML widgets the module uses; they show the real MRML scene."""

import slicer
from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Signal

from .ctkWidgets import ctkSliderWidget, storedProperty
from .pythonqt import standIn


@standIn
class qMRMLWidget(QtWidgets.QWidget):
    mrmlSceneChanged = Signal(object)

    def mrmlScene(self):
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene):
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)


@standIn
class qSlicerWidget(qMRMLWidget):
    pass


@standIn
class qMRMLSortFilterProxyModel(QtCore.QObject):
    changed = Signal()
    hiddenNodeIDs = storedProperty("QStringList", "hiddenNodeIDs", [], None, lambda self, _value: self.changed.emit())


@standIn
class qMRMLSegmentationShow3DButton(QtWidgets.QPushButton):
    """Makes or removes the surfaces of a segmentation, as Slicer's does."""

    def __init__(self, parent=None):
        super().__init__("Show 3D", parent)
        self.setCheckable(True)
        self._segmentation = None
        self.toggled.connect(self._onToggled)

    def segmentationNode(self):
        return self._segmentation

    def setSegmentationNode(self, node):
        self._segmentation = node
        isShown = node is not None and node.GetSegmentation().ContainsRepresentation("Closed surface")
        wasBlocked = self.blockSignals(True)
        self.setChecked(isShown)
        self.blockSignals(wasBlocked)
        self.setEnabled(node is not None)

    def _onToggled(self, isShown):
        if self._segmentation is not None and isShown:
            self._segmentation.CreateClosedSurfaceRepresentation()
        elif self._segmentation is not None:
            self._segmentation.RemoveClosedSurfaceRepresentation()


@standIn
class qMRMLNodeComboBox(qMRMLWidget):
    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)

    def _listAgain(self, _value):
        self._refresh()

    nodeTypes = storedProperty("QStringList", "nodeTypes", [], None, _listAgain)
    noneEnabled = storedProperty(bool, "noneEnabled", False, None, _listAgain)
    showChildNodeTypes = storedProperty(bool, "showChildNodeTypes", True, None, _listAgain)
    showHidden = storedProperty(bool, "showHidden", False, None, _listAgain)
    hideChildNodeTypes = storedProperty("QStringList", "hideChildNodeTypes", [], None, _listAgain)
    addEnabled = storedProperty(bool, "addEnabled", True)
    removeEnabled = storedProperty(bool, "removeEnabled", True)
    renameEnabled = storedProperty(bool, "renameEnabled", False)
    editEnabled = storedProperty(bool, "editEnabled", False)
    selectNodeUponCreation = storedProperty(bool, "selectNodeUponCreation", True)
    baseName = storedProperty(str, "baseName", "")
    noneDisplay = storedProperty(str, "noneDisplay", "None", None, _listAgain)

    def __init__(self, parent=None):
        super().__init__(parent)
        self._combo, self._observed, self._ids, self._isListing = QtWidgets.QComboBox(), [], [], False
        self._proxyModel = qMRMLSortFilterProxyModel(self)
        self._proxyModel.changed.connect(self._refresh)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.currentIndexChanged.connect(self._onChosen)

    def setMRMLScene(self, scene):
        for owner, tag in self._observed:
            owner.RemoveObserver(tag)
        self._observed = []
        super().setMRMLScene(scene)
        if scene:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent):
                self._observed.append((scene, scene.AddObserver(event, lambda *_: self._refresh())))
        self._refresh()

    def sortFilterProxyModel(self):
        return self._proxyModel

    def _accepts(self, node, kind):
        if node.GetID() in self._proxyModel.property("hiddenNodeIDs"):
            return False
        if node.GetHideFromEditors() and not self.property("showHidden"):
            return False
        if node.GetClassName() in (self.property("hideChildNodeTypes") or []):
            return False
        return self.property("showChildNodeTypes") or node.GetClassName() == kind

    def _refresh(self):
        if "_combo" not in self.__dict__:
            return
        scene, current = self.mrmlScene(), self.currentNodeID
        nodes = [
            node
            for kind in (self.property("nodeTypes") or [])
            if scene
            for node in slicer.util.getNodesByClass(kind, scene)
            if self._accepts(node, kind)
        ]
        none = [None] if self.property("noneEnabled") else []
        self._isListing = True
        self._combo.clear()
        self._combo.addItems([self.property("noneDisplay") for _ in none] + [node.GetName() for node in nodes])
        self._ids = none + [node.GetID() for node in nodes]
        self._combo.setCurrentIndex(self._ids.index(current) if current in self._ids else (0 if self._ids else -1))
        self._isListing = False
        if self.currentNodeID != current:
            self._emit()

    def _emit(self):
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(self.currentNodeID or "")

    def _onChosen(self, _index):
        if not self._isListing:
            self._emit()

    @property
    def currentNodeID(self):
        index = self._combo.property("currentIndex")
        return self._ids[index] if 0 <= index < len(self._ids) else None

    def currentNode(self):
        scene = self.mrmlScene()
        return scene.GetNodeByID(self.currentNodeID) if self.currentNodeID and scene else None

    def setCurrentNode(self, node):
        known = node is not None and node.GetID() in self._ids
        none = 0 if self.property("noneEnabled") else -1
        self._combo.setCurrentIndex(self._ids.index(node.GetID()) if known else none)

    def setCurrentNodeID(self, nodeID):
        self.setCurrentNode(self.mrmlScene().GetNodeByID(nodeID) if nodeID else None)

    def nodeCount(self):
        return len([nodeID for nodeID in self._ids if nodeID])


class qSlicerScriptedLoadableModule(QtCore.QObject):
    """The C++ core module that hands its card to the script."""

    def __init__(self, path):
        super().__init__()
        self.path, self.title, self.icon, self.widget = path, "", None, None

    def widgetRepresentation(self):
        return self.widget


class qSlicerScriptedLoadableModuleWidget(qSlicerWidget):
    standsForCplusplus = False
    isEntered = False

    def self(self):
        return self._self


_NAMED_ONLY = (
    "qMRMLSpinBox",
    "qMRMLRangeWidget",
    "qMRMLSegmentSelectorWidget",
    "qMRMLCheckableNodeComboBox",
    "qMRMLSubjectHierarchyTreeView",
    "qMRMLColorTableComboBox",
    "qMRMLSimpleMarkupsWidget",
    "qMRMLCollapsibleButton",
    "qMRMLSegmentEditorWidget",
    "qMRMLSubjectHierarchyComboBox",
    "qMRMLSegmentsTableView",
)


def installMrmlWidgets():
    """Put the widget classes on the ``slicer`` package, where Slicer's scripts find them."""
    for cls in (
        qMRMLWidget,
        qSlicerWidget,
        qMRMLNodeComboBox,
        qMRMLSegmentationShow3DButton,
        qSlicerScriptedLoadableModule,
        qSlicerScriptedLoadableModuleWidget,
    ):
        setattr(slicer, cls.__name__, cls)
    slicer.qMRMLSliderWidget = standIn(type("qMRMLSliderWidget", (ctkSliderWidget,), {}))
    for name in _NAMED_ONLY:
        setattr(slicer, name, standIn(type(name, (qMRMLWidget,), {})))
