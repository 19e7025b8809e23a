"""The Designer file: every widget class and property exists in Slicer, and every name used in code exists in it."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from .conftest import MODULE_FOLDER

UI_FILE = MODULE_FOLDER / "Resources" / "UI" / "MIASSAM.ui"
SLICER_LIB = MODULE_FOLDER / "MIASSAMSlicerLib"
# Properties read in the sources of Slicer 5.13 and CTK (Q_PROPERTY of the class and its ancestors).
SLICER_PROPERTIES = {
    "qMRMLNodeComboBox": {
        "nodeTypes",
        "showHidden",
        "hideChildNodeTypes",
        "showChildNodeTypes",
        "noneEnabled",
        "noneDisplay",
        "addEnabled",
        "removeEnabled",
        "editEnabled",
        "renameEnabled",
        "interactionNodeSingletonTag",
        "baseName",
        "selectNodeUponCreation",
        "currentNodeID",
    },
    "ctkSliderWidget": {
        "decimals",
        "singleStep",
        "pageStep",
        "minimum",
        "maximum",
        "value",
        "prefix",
        "suffix",
        "tickInterval",
        "tracking",
        "invertedAppearance",
        "spinBoxVisible",
        "popupSlider",
    },
    "ctkCollapsibleButton": {
        "text",
        "icon",
        "iconSize",
        "collapsed",
        "collapsedHeight",
        "contentsFrameShape",
        "contentsFrameShadow",
        "contentsLineWidth",
        "buttonTextAlignment",
        "checked",
    },
    "qMRMLWidget": set(),
}
OF_EVERY_WIDGET = {"toolTip", "enabled", "visible", "geometry", "minimumSize", "sizePolicy"}


def widgets():
    return list(ElementTree.parse(UI_FILE).iter("widget"))


def names():
    return {widget.get("name") for widget in widgets()}


def propertiesOf(widget):
    return {each.get("name") for each in widget.findall("property")}


def test_every_widget_class_exists_in_slicer(host):
    from PySide6 import QtWidgets

    for widget in widgets():
        cls = widget.get("class")
        assert cls in SLICER_PROPERTIES or hasattr(QtWidgets, cls), cls


def test_every_property_exists(host):
    from PySide6 import QtWidgets

    for widget in widgets():
        cls, found = widget.get("class"), propertiesOf(widget) - {"SlicerParameterName"}
        if cls in SLICER_PROPERTIES:
            known = SLICER_PROPERTIES[cls] | OF_EVERY_WIDGET
        else:
            meta = getattr(QtWidgets, cls).staticMetaObject
            known = {meta.property(index).name() for index in range(meta.propertyCount())}
        assert found <= known, (cls, found - known)


def test_every_parameter_name_is_a_parameter(script):
    from MIASSAMSlicerLib.parameters import MIASSAMParameterNode

    bound = [
        each.findtext("string")
        for widget in widgets()
        for each in widget.findall("property")
        if each.get("name") == "SlicerParameterName"
    ]
    assert set(bound) <= set(MIASSAMParameterNode.allParameters)
    assert len(bound) == len(set(bound)) >= 9


@pytest.mark.parametrize("path", sorted(SLICER_LIB.glob("*.py")), ids=lambda path: path.name)
def test_every_name_used_in_code_is_in_the_file(path):
    used = set(re.findall(r"\bui\.(\w+)", path.read_text(encoding="utf-8")))
    assert used <= names(), used - names()


def test_every_button_is_connected(script):
    code = "".join(path.read_text(encoding="utf-8") for path in SLICER_LIB.glob("*.py"))
    for widget in widgets():
        if widget.get("class") == "QPushButton":
            assert re.search(rf"ui\.{widget.get('name')}, self\.", code), widget.get("name")


def test_the_scene_reaches_every_mrml_widget():
    root = ElementTree.parse(UI_FILE).getroot()
    receivers = {
        each.findtext("receiver")
        for each in root.iter("connection")
        if each.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    mrmlWidgets = {
        widget.get("name")
        for widget in widgets()
        if widget.get("class").startswith("qMRML") and widget.get("name") != "MIASSAM"
    }
    assert receivers == mrmlWidgets


def test_every_widget_that_asks_something_explains_itself():
    for widget in widgets():
        if widget.get("class") in ("QPushButton", "QComboBox", "QCheckBox", "ctkSliderWidget", "qMRMLNodeComboBox"):
            explained = propertiesOf(widget) & {"toolTip"}
            assert explained or widget.get("name") == "segmentButton", widget.get("name")
