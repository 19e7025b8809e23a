"""``slicer.app``: the few calls that scripts make of the application."""

import slicer
from PySide6 import QtCore, QtGui, QtWidgets
from PySide6.QtCore import Signal

from .folders import temporaryFolder
from .ioManager import CoreIOManager


class ModuleManager(QtCore.QObject):
    moduleAboutToBeUnloaded = Signal(str)
    moduleLoaded = Signal(str)


class _SliceWidget:
    def __init__(self, view):
        self._view = view

    def sliceLogic(self):
        return self._view.logic

    def mrmlSliceNode(self):
        return self._view.node

    def sliceView(self):
        return self._view


class LayoutManager:
    """Answers for the views that a test opened; without views the application's is None, as headless."""

    def __init__(self, sliceViews, threeDView=None):
        self.sliceViews, self.threeDView, self.layout = sliceViews, threeDView, 3

    def sliceViewNames(self):
        return tuple(self.sliceViews)

    def sliceWidget(self, name):
        return _SliceWidget(self.sliceViews[name]) if name in self.sliceViews else None

    def setLayout(self, layout):
        self.layout = layout

    @property
    def threeDViewCount(self):
        return 1 if self.threeDView else 0

    def resetSliceViews(self):
        for view in self.sliceViews.values():
            view.fit()

    def resetThreeDViews(self):
        if self.threeDView:
            self.threeDView.fit()


class CommandOptions:
    noMainWindow = False
    testingEnabled = False


class Application(QtCore.QObject):
    startupCompleted = Signal()
    aboutToQuit = Signal()
    applicationName = "Slicer"
    documentationBaseUrl = "https://slicer.readthedocs.io/"

    def __init__(self, scene, applicationLogic):
        super().__init__()
        self._scene, self._logic, self._files = scene, applicationLogic, CoreIOManager()
        self._modules, self._settings, self._layout = ModuleManager(), QtCore.QSettings(), None
        self.temporaryPath = temporaryFolder("application")
        self.slicerHome = self.temporaryPath
        self.version = {"major": 5, "minor": 13}
        self.isTesting = False
        self.options = CommandOptions()

    majorVersion = property(lambda self: self.version["major"])
    minorVersion = property(lambda self: self.version["minor"])

    def moduleManager(self):
        return self._modules

    def settings(self):
        return self._settings

    userSettings = revisionUserSettings = settings

    def coreIOManager(self):
        return self._files

    ioManager = coreIOManager

    def applicationLogic(self):
        return self._logic

    def mrmlScene(self):
        return self._scene

    def layoutManager(self):
        return self._layout

    def commandOptions(self):
        return self.options

    def testingEnabled(self):
        return self.isTesting

    def translate(self, _context, text):
        return text

    def moduleDocumentationUrl(self, name):
        return self.documentationBaseUrl + name

    def processEvents(self):
        QtWidgets.QApplication.processEvents()

    def pauseRender(self):
        """Drawing is asked for by the tests, so there is nothing to pause."""

    resumeRender = pauseRender

    def setOverrideCursor(self, cursor):
        QtWidgets.QApplication.setOverrideCursor(QtGui.QCursor(cursor))

    def restoreOverrideCursor(self):
        QtWidgets.QApplication.restoreOverrideCursor()

    def topLevelWidgets(self):
        return QtWidgets.QApplication.topLevelWidgets()

    def keyboardModifiers(self):
        return QtWidgets.QApplication.keyboardModifiers()

    def restart(self):
        raise AssertionError("the module asked the application to restart")


def openViews(application, size=(400, 400)):
    """Open Red, Yellow, Green and one 3-D view, and let ``slicer.app.layoutManager()`` answer for them."""
    from .views import SliceView, ThreeDView

    logic = application.applicationLogic()
    slices = {
        name: SliceView(name, orientation, logic, size)
        for name, orientation in (("Red", "Axial"), ("Yellow", "Sagittal"), ("Green", "Coronal"))
    }
    application._layout = LayoutManager(slices, ThreeDView(logic, size=size))
    return application._layout


def closeViews(application):
    """Forget the views, so that the next test starts as a headless application."""
    application._layout = None
    for logics in (application.applicationLogic().GetSliceLogics(), application.applicationLogic().GetViewLogics()):
        logics.RemoveAllItems()
    for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode", "vtkMRMLViewNode"):
        for node in slicer.util.getNodesByClass(kind):
            slicer.mrmlScene.RemoveNode(node)
