"""``qt.QUiLoader``: loads a Designer file with the stand-ins and makes the connections written in it."""

import xml.etree.ElementTree as ElementTree

from PySide6 import QtCore, QtUiTools, QtWidgets

from . import properties, signals

CUSTOM_WIDGETS: dict[str, type] = {}


def standIn(cls):
    """Register a class that plays a C++ widget of Slicer or CTK: no new attributes may be put on it."""
    cls.standsForCplusplus = True
    CUSTOM_WIDGETS[cls.__name__] = cls
    return cls


class QUiLoader:
    def load(self, file, parent=None):
        if not file.isOpen():
            file.open(QtCore.QFile.ReadOnly)
        root = ElementTree.fromstring(bytes(file.readAll().data()))
        self._refuseUnknown(root)
        wanted = [
            [item.findtext(tag) for tag in ("sender", "signal", "receiver", "slot")]
            for item in root.iter("connection")
        ]
        for connections in root.findall("connections"):
            root.remove(connections)
        widget = self._build(root, parent)
        named = {item.objectName: item for item in [widget, *widget.findChildren(QtCore.QObject)]}
        for sender, signal, receiver, slot in wanted:
            signals.connect(named[sender], signal, named[receiver], slot)
        return widget

    @staticmethod
    def _refuseUnknown(root):
        used = {item.get("class") for item in root.iter("widget")}
        unknown = used - set(dir(QtWidgets)) - set(CUSTOM_WIDGETS)
        if unknown:
            raise RuntimeError(f"the .ui file uses widgets without a stand-in: {sorted(unknown)}")

    @staticmethod
    def _build(root, parent):
        loader = QtUiTools.QUiLoader()
        for custom in CUSTOM_WIDGETS.values():
            loader.registerCustomWidget(custom)
        buffer = QtCore.QBuffer()
        buffer.setData(QtCore.QByteArray(ElementTree.tostring(root)))
        buffer.open(QtCore.QBuffer.ReadOnly)
        properties.uiLoadersAtWork.append(loader)
        try:
            widget = loader.load(buffer, parent)
        finally:
            properties.uiLoadersAtWork.remove(loader)
        if widget is None:
            raise RuntimeError(loader.errorString())
        return widget
