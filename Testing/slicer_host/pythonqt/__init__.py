"""Build the flat ``qt`` module that PythonQt gives Slicer's scripts, on PySide6 and off screen."""

import ctypes
import os
import sys
import types

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6 import QtCore, QtGui, QtWidgets

from ..folders import temporaryFolder
from . import enums, properties, signals
from .uiLoader import CUSTOM_WIDGETS, QUiLoader, standIn

__all__ = ["CUSTOM_WIDGETS", "installQt", "standIn"]


def installQt():
    """Put ``qt`` into ``sys.modules`` and start the one QApplication."""
    if "qt" in sys.modules:
        return sys.modules["qt"]
    _keepNoneAlive()
    module = types.ModuleType("qt")
    for part in (QtCore, QtGui, QtWidgets):  # dir(), since PySide fills its modules lazily
        module.__dict__.update(
            {name: getattr(part, name) for name in dir(part) if name.startswith("Q") or name == "Qt"}
        )
    module.Signal, module.Property = QtCore.Signal, QtCore.Property
    module.QUiLoader = QUiLoader
    _giveManners(module)
    _useTemporarySettings()
    module.application = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["slicer-test-host"])
    sys.modules["qt"] = module
    return module


def _giveManners(module):
    kinds = [value for value in vars(module).values() if isinstance(value, type)]
    objects = sorted((kind for kind in kinds if issubclass(kind, QtCore.QObject)), key=lambda kind: len(kind.__mro__))
    for kind in objects:
        properties.exposeProperties(kind)
    base = QtCore.QObject
    base.name = property(
        lambda self: self.property("objectName"), lambda self, value: self.setProperty("objectName", value)
    )
    lookUp = _lookUpOf(base)
    for kind in objects:  # generated classes carry their own slot for setattr
        kind.__setattr__ = properties.setAttribute
    for kind in (base, QtCore.QProcess):  # QProcess has two bases and does not inherit the lookup
        kind.__getattribute__ = lookUp
    base.className = lambda self: self.metaObject().className()
    base.delete = lambda self: self.deleteLater()
    QtCore.QTimer.singleShot = staticmethod(_singleShot)
    for kind in [module.Qt, *kinds]:
        enums.plainEnums(kind)
    enums.reverseConstructors()
    for kind in (QtWidgets.QTableWidgetItem, QtWidgets.QListWidgetItem, QtWidgets.QTreeWidgetItem):
        kind.__getattribute__ = _plainLookUp(kind)


def _lookUpOf(base):
    """shiboken treats connect and disconnect specially, so they are replaced where they are looked up."""
    original = base.__getattribute__

    def lookUp(self, name):
        if name == "connect":
            return types.MethodType(signals.connect, self)
        if name == "disconnect":
            return types.MethodType(signals.disconnect, self)
        value = original(self, name)
        if type(value) is QtCore.SignalInstance:
            return signals.BoundSignal(value, signals.arityOf(self, name))
        return enums.takingNumbers(value) if isinstance(value, enums.METHODS) else value

    return lookUp


_waitingTimers = set()


def _singleShot(milliseconds, slot):
    """PySide's own goes through the connect that was replaced above."""
    timer = QtCore.QTimer()
    timer.setSingleShot(True)

    def fire():
        _waitingTimers.discard(timer)
        slot()

    timer.timeout.connect(fire)
    _waitingTimers.add(timer)
    timer.start(milliseconds)


def _plainLookUp(kind):
    original = kind.__getattribute__

    def lookUp(self, name):
        value = original(self, name)
        return enums.takingNumbers(value) if isinstance(value, enums.METHODS) else value

    return lookUp


def _keepNoneAlive():
    """PySide6 6.12 drops one reference to None with each void call (seen with sys.getrefcount).

    From Python 3.12 on None is immortal; before that its count reaches zero and the process aborts.
    """
    if sys.version_info < (3, 12):
        ctypes.c_ssize_t.from_address(id(None)).value += 1 << 40


def _useTemporarySettings():
    settings = QtCore.QSettings
    settings.setDefaultFormat(settings.IniFormat)
    settings.setPath(settings.IniFormat, settings.UserScope, temporaryFolder("settings"))
    QtCore.QCoreApplication.setOrganizationName("NA-MIC")
    QtCore.QCoreApplication.setApplicationName("SlicerTestHost")
