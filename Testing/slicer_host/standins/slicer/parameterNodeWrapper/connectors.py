"""Bind a widget to a value: the class of the widget and the type of the value decide how."""

import enum
import pathlib

import ctk
import qt
import slicer


class _Connector:
    signal = ""

    def __init__(self, widget, kind, annotations):
        self.widget, self.kind, self._slot = widget, kind, None
        self.prepare(annotations)

    def prepare(self, annotations):
        """Overridden where the annotations shape the widget."""

    def onChanged(self, callback):
        signal = getattr(self.widget, self.signal)
        if self._slot is not None:
            signal.disconnect(self._slot)
        self._slot = callback
        if callback is not None:
            signal.connect(callback)


class CheckConnector(_Connector):
    signal = "stateChanged"

    def read(self):
        return self.widget.checked

    def write(self, value):
        self.widget.checked = value


class ToggleConnector(CheckConnector):
    signal = "toggled"


class NumberConnector(_Connector):
    signal = "valueChanged"

    def prepare(self, annotations):
        for annotation in annotations:
            if hasattr(annotation, "minimum"):
                self.widget.minimum = annotation.minimum
            if hasattr(annotation, "maximum"):
                self.widget.maximum = annotation.maximum

    def read(self):
        return self.kind(self.widget.value)

    def write(self, value):
        self.widget.value = self.kind(value)


class ListConnector(_Connector):
    """Fills the combo box itself, as Slicer's connectors do."""

    signal = "currentIndexChanged"

    def prepare(self, annotations):
        if issubclass(self.kind, enum.Enum):
            label = getattr(self.kind, "label", lambda item: item.name)
            self._choices = [(label(item), item) for item in self.kind]
        else:
            choices = next(annotation.choices for annotation in annotations if hasattr(annotation, "choices"))
            self._choices = [(str(item), item) for item in choices]
        self.widget.clear()
        for text, _ in self._choices:
            self.widget.addItem(text)

    def read(self):
        return self._choices[self.widget.currentIndex][1]

    def write(self, value):
        self.widget.currentIndex = [item for _, item in self._choices].index(value)


class TextConnector(_Connector):
    signal = "textChanged"

    def read(self):
        return self.widget.text

    def write(self, value):
        if value != self.widget.text:
            self.widget.text = value


class PathConnector(_Connector):
    signal = "currentPathChanged"

    def read(self):
        return self.kind(self.widget.currentPath)

    def write(self, value):
        self.widget.currentPath = str(value)


class NodeConnector(_Connector):
    signal = "currentNodeChanged"

    def prepare(self, annotations):
        self.widget.nodeTypes = (self.kind().GetClassName(),)

    def read(self):
        return self.widget.currentNode()

    def write(self, value):
        self.widget.setCurrentNode(value)


_TABLE = (
    ((qt.QCheckBox,), bool, CheckConnector),
    ((qt.QPushButton,), bool, ToggleConnector),
    ((qt.QSlider, qt.QSpinBox), int, NumberConnector),
    ((qt.QDoubleSpinBox, ctk.ctkSliderWidget), (float, int), NumberConnector),
    ((qt.QComboBox,), (enum.Enum, int, float, str), ListConnector),
    ((qt.QLineEdit,), str, TextConnector),
    ((ctk.ctkPathLineEdit,), pathlib.PurePath, PathConnector),
    ((slicer.qMRMLNodeComboBox,), slicer.vtkMRMLNode, NodeConnector),
)


def createGuiConnector(widget, kind, annotations=()):
    """Return the connector for this exact widget class, as Slicer compares types, not ancestors."""
    for widgets, kinds, connector in _TABLE:
        if type(widget) in widgets and issubclass(kind, kinds):
            return connector(widget, kind, annotations)
    raise RuntimeError(f"Unable to create GUI connector from datatype '{kind}' to widget type '{type(widget)}'")
