"""Every name of Slicer, CTK and Qt that the module uses exists: in a source tree, or in the table made from two."""

import json
import os

import pytest

from . import slicerNames
from .slicerSource import SOURCE

BY_HAND = {"slicer.packaging", "import slicer.packaging"}
"""Guarded in the code: Slicer 5.12 has it, 5.10 has not."""


def unknown(names):
    """Return the names that the tree, or without one the table, does not have."""
    if SOURCE is not None:
        tree = slicerNames.Tree(SOURCE, os.environ.get("CTK_SOURCE"))
        missing = {name for name in names if not tree.has(name)}
        return {name for name in missing if "ctk" not in name or os.environ.get("CTK_SOURCE")}
    known = set(json.loads(slicerNames.TABLE.read_text(encoding="utf-8")))
    qt = {name for name in names if name.startswith(("qt.", "class Q", "property Q", "widget Q", "signal Q"))}
    tree = slicerNames.Tree("nowhere")
    return {name for name in names - known if name not in qt or not tree.has(name)}


def test_every_name_exists(host):
    assert not unknown(slicerNames.usedNames()) - BY_HAND, "python Testing/module/slicerNames.py makes the table anew"


def test_the_walk_sees_what_the_module_uses(host):
    used = slicerNames.usedNames()
    assert {
        "slicer.util.exit",
        "import slicer.parameterNodeWrapper.parameterNodeWrapper",
        "class qMRMLSegmentationShow3DButton",
        "property qMRMLNodeComboBox.noneDisplay",
        "signal qMRMLNodeComboBox.currentNodeChanged(vtkMRMLNode*)",
        "qt.QDialogButtonBox.Ok",
        ".SetReferenceActivePlaceNodeClassName",
        "widget qMRMLSegmentationShow3DButton.setSegmentationNode",
    } <= used
    assert len(used) > 250


@pytest.mark.parametrize(
    "name",
    [
        "slicer.util.exitt",
        "import slicer.parameterNodeWrapper.parameterNodeWraper",
        "class qMRMLSegmentationShow4DButton",
        "property qMRMLNodeComboBox.noneDisplays",
        "signal qMRMLNodeComboBox.currentNodeWasChanged(vtkMRMLNode*)",
        "qt.QDialogButtonBox.Okay",
        ".SetReferenceActivePlaceNodeKlassName",
        "slicer.mrmlScene.AddNewNodeByKlass",
        "slicer.modules.segmenteditors",
        "widget qMRMLSegmentationShow3DButton.setTheSegmentationNode",
        "property ctkSliderWidget.decimal",
    ],
)
def test_a_name_that_does_not_exist_fails(host, name):
    if name.startswith("property ctk") and SOURCE is not None and not os.environ.get("CTK_SOURCE"):
        pytest.skip("CTK_SOURCE names no CTK source tree")
    assert unknown({name}) == {name}
