"""How each kind of value is kept in a vtkMRMLScriptedModuleNode."""

import enum
import pathlib

import slicer


class TextSerializer:
    def __init__(self, kind, toText, fromText, initial):
        self.kind, self.toText, self.fromText, self.initial = kind, toText, fromText, initial

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def write(self, node, name, value):
        if not isinstance(value, (int, float) if self.kind is float else self.kind):
            raise TypeError(f"{name} takes {self.kind.__name__}, not {type(value).__name__}")
        node.SetParameter(name, self.toText(value))

    def read(self, node, name):
        return self.fromText(node.GetParameter(name))


class NodeSerializer:
    initial = None

    def __init__(self, kind):
        self.kind = kind

    def isIn(self, node, name):
        return bool(node.HasParameter(name))

    def write(self, node, name, value):
        if value is not None and not isinstance(value, self.kind):
            raise TypeError(f"{name} takes a {self.kind.__name__}, not {type(value).__name__}")
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node, name):
        return node.GetNodeReference(name)


def serializerFor(kind):
    """Return the serializer of a parameter's type."""
    if issubclass(kind, slicer.vtkMRMLNode):
        return NodeSerializer(kind)
    if issubclass(kind, enum.Enum):
        return TextSerializer(kind, lambda value: value.name, lambda text: kind[text], next(iter(kind)))
    if issubclass(kind, pathlib.PurePath):
        return TextSerializer(pathlib.PurePath, str, kind, kind())
    if kind is bool:
        return TextSerializer(bool, str, lambda text: text == "True", False)
    if kind in (int, float, str):
        return TextSerializer(kind, str, kind, kind())
    raise TypeError(f"the stand-in cannot store {kind}")
