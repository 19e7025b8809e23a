"""The class decorator: typed attributes over a vtkMRMLScriptedModuleNode, bound to widgets on request."""

import typing

import slicer
import vtk

from .connectors import createGuiConnector
from .serializers import serializerFor
from .validators import Default

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Parameter:
    def __init__(self, name, hint, default):
        arguments = typing.get_args(typing.Annotated[hint, None])[:-1]
        self.name, self.kind, self.annotations = name, arguments[0], arguments[1:]
        self.serializer = serializerFor(self.kind)
        marked = [annotation.value for annotation in self.annotations if isinstance(annotation, Default)]
        self.default = default if default is not None else (marked[0] if marked else self.serializer.initial)

    def write(self, node, value):
        for annotation in self.annotations:
            if hasattr(annotation, "validate"):
                annotation.validate(value)
        self.serializer.write(node, self.name, value)


def isParameterNodeWrapper(candidate):
    return getattr(candidate, "_isParameterNodeWrapper", False)


def parameterNodeWrapper(cls):
    parameters = {
        name: _Parameter(name, hint, getattr(cls, name, None))
        for name, hint in typing.get_type_hints(cls, include_extras=True).items()
    }
    for parameter in parameters.values():
        setattr(cls, parameter.name, _attribute(parameter))
    cls.allParameters, cls._isParameterNodeWrapper = parameters, True
    for function in (__init__, connectGui, disconnectGui, setValue, getValue, _updateGui):
        setattr(cls, function.__name__, function)
    for name in ("StartModify", "EndModify", "AddObserver", "RemoveObserver", "Modified"):
        setattr(cls, name, _forwarded(name))
    return cls


def _attribute(parameter):
    return property(
        lambda self: parameter.serializer.read(self.parameterNode, parameter.name),
        lambda self, value: parameter.write(self.parameterNode, value),
    )


def _forwarded(name):
    return lambda self, *arguments: getattr(self.parameterNode, name)(*arguments)


def __init__(self, parameterNode):
    self.parameterNode, self._guis, self._isUpdating = parameterNode, {}, False
    for parameter in self.allParameters.values():
        if not parameter.serializer.isIn(parameterNode, parameter.name):
            parameter.write(parameterNode, parameter.default)


def getValue(self, name):
    return getattr(self, name)


def setValue(self, name, value):
    setattr(self, name, value)


def connectGui(self, gui):
    connectors = {}
    for widget in vars(gui).values():
        name = widget.property(SlicerParameterNamePropertyName)
        if name:
            parameter = self.allParameters[name]
            connectors[name] = createGuiConnector(widget, parameter.kind, parameter.annotations)
    for name, connector in connectors.items():
        connector.write(getattr(self, name))
        connector.onChanged(_writer(self, name, connector))
    tag = len(self._guis)
    observer = self.parameterNode.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._updateGui())
    self._guis[tag] = (connectors, observer)
    return tag


def _writer(self, name, connector):
    def write():
        if not self._isUpdating:
            with slicer.util.NodeModify(self):
                setattr(self, name, connector.read())

    return write


def _updateGui(self):
    if self._isUpdating:
        return
    self._isUpdating = True
    try:
        for connectors, _ in self._guis.values():
            for name, connector in connectors.items():
                connector.write(getattr(self, name))
    finally:
        self._isUpdating = False


def disconnectGui(self, tag):
    connectors, observer = self._guis.pop(tag, ({}, None))
    for connector in connectors.values():
        connector.onChanged(None)
    if observer is not None:
        self.parameterNode.RemoveObserver(observer)
