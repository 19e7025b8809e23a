"""Stand-ins for the CTK widgets the module uses, as the module ``ctk``."""

import sys
import types

from PySide6 import QtCore, QtWidgets
from PySide6.QtCore import Property, Signal

from .pythonqt import standIn


def storedProperty(kind, name, default, signal=None, whenSet=None):
    """A Qt property kept in the instance; a change emits ``signal`` with the new value."""
    key = "_value_" + name

    def read(self):
        return self.__dict__.get(key, default)

    def write(self, value):
        changed = read(self) != value
        self.__dict__[key] = value
        if whenSet:
            whenSet(self, value)
        if signal and changed:
            getattr(self, signal).emit(value)

    return Property(kind, read, write)


@standIn
class ctkCollapsibleButton(QtWidgets.QWidget):
    toggled = Signal(bool)
    clicked = Signal(bool)
    contentsCollapsed = Signal(bool)
    text = storedProperty(str, "text", "")
    collapsedHeight = storedProperty(int, "collapsedHeight", 10)

    def __init__(self, parent=None):
        super().__init__(parent)
        self.setContentsMargins(0, 22, 0, 0)

    def _collapse(self, isCollapsed):
        """Hide the children, or bring back those that this has hidden: what code hid stays hidden, as in CTK."""
        hidden = self.__dict__.setdefault("_hiddenHere", [])
        if isCollapsed:
            children = self.findChildren(QtWidgets.QWidget, options=QtCore.Qt.FindDirectChildrenOnly)
            hidden += [child for child in children if not child.isHidden()]
        for child in hidden:
            child.setVisible(not isCollapsed)
        if not isCollapsed:
            hidden.clear()
        self.contentsCollapsed.emit(isCollapsed)

    collapsed = storedProperty(bool, "collapsed", False, None, _collapse)
    checked = storedProperty(bool, "checked", True, "toggled")

    def showEvent(self, event):
        self._collapse(self.property("collapsed"))  # the loader sets the property before the children exist
        super().showEvent(event)

    def paintEvent(self, event):
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.property("width"), 20)
        option.text = ("\u25b8 " if self.property("collapsed") else "\u25be ") + self.property("text")
        painter.drawControl(QtWidgets.QStyle.CE_PushButton, option)


@standIn
class ctkSliderWidget(QtWidgets.QWidget):
    valueChanged = Signal(float)
    pageStep = storedProperty(float, "pageStep", 1.0)
    suffix = storedProperty(str, "suffix", "")
    tracking = storedProperty(bool, "tracking", True)

    def __init__(self, parent=None):
        super().__init__(parent)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self._bar, self._box, self._isFollowing = (
            QtWidgets.QSlider(QtCore.Qt.Horizontal),
            QtWidgets.QDoubleSpinBox(),
            False,
        )
        row.addWidget(self._bar)
        row.addWidget(self._box)
        self._box.setRange(0, 100)
        self._bar.setRange(0, 1000)
        self._box.valueChanged.connect(self._onBox)
        self._bar.valueChanged.connect(self._onBar)

    def _onBox(self, value):
        low, high = self._box.property("minimum"), self._box.property("maximum")
        self._isFollowing = True
        self._bar.setValue(int(1000 * (value - low) / ((high - low) or 1)))
        self._isFollowing = False
        self.valueChanged.emit(value)

    def _onBar(self, position):
        if not self._isFollowing:
            low, high = self._box.property("minimum"), self._box.property("maximum")
            self._box.setValue(low + position / 1000 * (high - low))

    value = Property(float, lambda self: self._box.property("value"), lambda self, value: self._box.setValue(value))
    minimum = Property(
        float, lambda self: self._box.property("minimum"), lambda self, value: self._box.setMinimum(value)
    )
    maximum = Property(
        float, lambda self: self._box.property("maximum"), lambda self, value: self._box.setMaximum(value)
    )
    singleStep = Property(
        float, lambda self: self._box.property("singleStep"), lambda self, value: self._box.setSingleStep(value)
    )
    decimals = Property(
        int, lambda self: self._box.property("decimals"), lambda self, value: self._box.setDecimals(value)
    )

    def setValue(self, value):
        self._box.setValue(value)


@standIn
class ctkPathLineEdit(QtWidgets.QWidget):
    currentPathChanged = Signal(str)
    Files, Dirs = 1, 2
    currentPath = storedProperty(str, "currentPath", "", "currentPathChanged")
    nameFilters = storedProperty("QStringList", "nameFilters", [])
    settingKey = storedProperty(str, "settingKey", "")
    filters = storedProperty(int, "filters", 1)

    def setCurrentPath(self, path):
        self.setProperty("currentPath", path)

    def addCurrentPathToHistory(self):
        """Kept for code that calls it; the stand-in has no history."""


# Slicer's own parameterNodeWrapper names these classes when it looks for a connector.
_NAMED_ONLY = (
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkRangeWidget",
    "ctkDoubleRangeSlider",
    "ctkCheckBox",
    "ctkComboBox",
    "ctkCheckablePushButton",
    "ctkDirectoryButton",
    "ctkColorPickerButton",
    "ctkMenuButton",
    "ctkMessageBox",
    "ctkFittedTextBrowser",
)


def installCtk():
    """Put ``ctk`` into ``sys.modules``."""
    module = sys.modules.setdefault("ctk", types.ModuleType("ctk"))
    for cls in (ctkCollapsibleButton, ctkSliderWidget, ctkPathLineEdit):
        setattr(module, cls.__name__, cls)
    for name in _NAMED_ONLY:
        setattr(module, name, standIn(type(name, (QtWidgets.QWidget,), {})))
    return module
