"""The Designer file: every name used in code is in it, every button does something, everything explains itself.

That its classes and properties exist in Slicer: test_slicer_names.py.
"""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from .conftest import MODULE_FOLDER

UI_FILE = MODULE_FOLDER / "Resources" / "UI" / "MIASSAM.ui"
SLICER_LIB = MODULE_FOLDER / "MIASSAMSlicerLib"


def widgets():
    return list(ElementTree.parse(UI_FILE).iter("widget"))


def names():
    return {widget.get("name") for widget in widgets()}


def propertiesOf(widget):
    return {each.get("name") for each in widget.findall("property")}


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
    buttons = [widget.get("name") for widget in widgets() if widget.get("class") == "QPushButton"]
    loose = [name for name in buttons if not re.search(rf"ui\.{name}, self\.", code)]
    assert buttons and not loose


def test_the_scene_reaches_every_mrml_widget():
    root = ElementTree.parse(UI_FILE).getroot()
    receivers = {
        each.findtext("receiver")
        for each in root.iter("connection")
        if each.findtext("signal") == "mrmlSceneChanged(vtkMRMLScene*)"
    }
    mrmlWidgets = {widget.get("name") for widget in widgets() if widget.get("class") == "qMRMLNodeComboBox"}
    assert receivers == mrmlWidgets


def test_every_widget_that_asks_something_explains_itself():
    asking = ("QPushButton", "QComboBox", "QCheckBox", "ctkSliderWidget", "qMRMLNodeComboBox")
    asked = [widget for widget in widgets() if widget.get("class") in asking]
    silent = {widget.get("name") for widget in asked if "toolTip" not in propertiesOf(widget)}
    assert asked and silent <= {"segmentButton"}
