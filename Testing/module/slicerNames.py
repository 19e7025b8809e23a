"""Every name of Slicer and CTK that the module uses, looked up in a source tree.

``python Testing/module/slicerNames.py SLICER_TREE... [--ctk CTK_TREE]`` writes `TABLE`: the names that every one of
the trees has. Qt's own names are looked up in PySide6, which is always there.
"""

import argparse
import ast
import functools
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_FOLDER = REPOSITORY / "MIASSAM"
UI_FILE = MODULE_FOLDER / "Resources" / "UI" / "MIASSAM.ui"
TABLE = Path(__file__).with_name("slicerNames.json")
OWN = {"MIASSAMInstance", "miassam"}
VTK_CLASSES = (
    "vtkObject", "vtkImageData", "vtkMatrix4x4", "vtkStringArray", "vtkTable", "vtkTextProperty", "vtkCommand",
    "vtkDataArray", "vtkPointData", "vtkVariant", "vtkTransform", "vtkCollection",
)  # fmt: skip
"""VTK's classes whose methods the module calls; VTK is no part of Slicer's tree."""


def moduleFiles():
    return [MODULE_FOLDER / "MIASSAM.py", *sorted((MODULE_FOLDER / "MIASSAMSlicerLib").glob("*.py"))]


def usedNames():
    """Return what the module uses: chains as "slicer.util.exit", methods as ".SetOpacity", and those of widgets."""
    found = set()
    for path in moduleFiles():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        others = _otherNames(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                found |= _ofAttribute(node, others)
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "slicer":
                found |= {f"import {node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Call):
                found |= _signalOf(node)
    return found | _ofUiFile()


def _otherNames(tree):
    """Return names in a file that stand for Python's own modules and this project's classes."""
    names = {each.name for each in ast.walk(tree) if isinstance(each, ast.ClassDef)}
    for node in ast.walk(tree):
        isOther = isinstance(node, ast.Import) or (
            isinstance(node, ast.ImportFrom) and (node.level or node.module.partition(".")[0] not in ("slicer", "vtk"))
        )
        if isOther:
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
    return names - {"slicer", "qt", "ctk", "vtk"}


def _ofAttribute(node, others):
    text = ast.unparse(node)
    parts = text.split(".")
    if parts[0] in others:
        return set()
    isChain = all(part.isidentifier() for part in parts)
    if isChain and parts[0] in ("slicer", "qt", "ctk"):
        return {text}
    if isChain and "ui" in parts[:-2]:
        place = parts.index("ui")
        cls = widgetClasses().get(parts[place + 1])
        return {f"widget {cls}.{parts[place + 2]}"} if cls else set()
    return {f".{node.attr}"} if re.match(r"[A-Z][a-z]\w+[A-Z]?\w*$", node.attr) else set()


def _signalOf(node):
    isConnect = getattr(node.func, "attr", "") == "connect" and len(node.args) == 2
    if not isConnect or not isinstance(node.args[0], ast.Constant):
        return set()
    cls = widgetClasses().get(ast.unparse(node.func.value).rpartition(".")[2])
    return {f"signal {cls}.{node.args[0].value}"} if cls else set()


@functools.cache
def widgetClasses():
    """Return widget name -> class of the Designer file."""
    return {each.get("name"): each.get("class") for each in ElementTree.parse(UI_FILE).iter("widget")}


def _ofUiFile():
    found = set()
    for widget in ElementTree.parse(UI_FILE).iter("widget"):
        found.add(f"class {widget.get('class')}")
        names = {each.get("name") for each in widget.findall("property")} - {"SlicerParameterName"}
        found |= {f"property {widget.get('class')}.{name}" for name in names}
    return found


class Tree:
    """The headers and scripts of a Slicer source tree, with CTK's beside it."""

    def __init__(self, slicer, ctk=None):
        self.slicer = Path(slicer)
        folders = [self.slicer / name for name in ("Base", "Libs", "Modules")] + ([Path(ctk)] if ctk else [])
        self._headers = {path.stem: path for folder in folders for path in folder.rglob("*.h")}
        self._texts = {}

    def has(self, name):
        """Tell whether the tree has a name."""
        kind, _, rest = name.rpartition(" ")
        cls, _, member = rest.partition(".")
        if kind == "class":
            return cls in self._headers or _isQt(cls)
        if kind == "property":
            return self._inherits(cls, member, r"Q_PROPERTY\(\s*[\w:<>]+\s+%s\b", _qtProperty)
        if kind == "signal":
            return self._inherits(cls, member.partition("(")[0], r"\bvoid\s+%s\s*\(", _qtMember)
        if kind == "widget":
            return self._inherits(cls, member, r"\b%s\b", _qtMember)
        if kind == "import":
            return self._hasImport(rest)
        return self._hasMethod(name[1:]) if name.startswith(".") else self._hasChain(name.split("."))

    def _text(self, stem):
        if stem not in self._texts:
            path = self._headers.get(stem)
            self._texts[stem] = path.read_text(encoding="utf-8", errors="replace") if path else ""
        return self._texts[stem]

    def _ancestors(self, cls):
        """Return a class and its ancestors, as the headers name them."""
        found = []
        while cls and cls not in found:
            found.append(cls)
            pattern = rf"class\s+(?:\w+\s+)?{cls}\s*(?:final\s*)?:\s*public\s+(?:\w+::)*(\w+)"
            match = re.search(pattern, self._text(cls))
            cls = match[1] if match else ""
        return found

    def _inherits(self, cls, member, pattern, ofQt):
        for each in self._ancestors(cls):
            if re.search(pattern % re.escape(member), self._text(each)) or (_isQt(each) and ofQt(each, member)):
                return True
        return False

    def _hasImport(self, name):
        module, _, what = name.rpartition(".")
        if module == "slicer":
            return what in self._headers or self._python(what) != ""
        text = self._python(module.partition(".")[2])
        return re.search(rf"\b{what}\b", text) is not None

    def _python(self, name):
        base = self.slicer / "Base" / "Python" / "slicer" / name.replace(".", "/")
        files = [base.with_suffix(".py"), *(base.glob("*.py") if base.is_dir() else ())]
        return "\n".join(path.read_text(encoding="utf-8") for path in files if path.is_file())

    def _hasChain(self, parts):
        head, member = parts[1], parts[2] if len(parts) > 2 else ""
        if parts[0] == "qt":
            return _isQt(head) and (not member or _qtMember(head, member))
        if parts[0] == "ctk":
            return head in self._headers
        if head == "util":
            return not member or self._defines("util", member)
        if head == "packaging":
            return not member or self._defines("packaging", member)
        if head == "app":
            return not member or self._inherits("qSlicerApplication", member, r"\b%s\b", _qtMember)
        if head == "modules":
            return not member or member in OWN or self._hasModule(member)
        if head == "mrmlScene":
            return not member or self._member("vtkMRMLScene", member)
        return head in self._headers and (not member or self._member(head, member))

    def _defines(self, script, name):
        return re.search(rf"^(?:def|class) {name}\b", self._python(script), re.MULTILINE) is not None

    def _hasModule(self, name):
        folders = [self.slicer / "Modules" / kind for kind in ("Loadable", "Scripted", "CLI")]
        return any(path.name.lower() == name for folder in folders if folder.is_dir() for path in folder.iterdir())

    def _member(self, cls, member):
        return any(_declares(self._text(each), member) or _vtkMember(each, member) for each in self._ancestors(cls))

    def _hasMethod(self, member):
        if any(_vtkMember(cls, member) for cls in VTK_CLASSES) or _isOfQtFlags(member):
            return True
        return member in self._declared or any(_declares(text, member) for text in self._allTexts)

    @functools.cached_property
    def _allTexts(self):
        return [self._text(stem) for stem in self._headers if stem.startswith(("vtk", "qMRML", "qSlicer"))]

    @functools.cached_property
    def _declared(self):
        return {word for text in self._allTexts for word in re.findall(r"\b([A-Z]\w+)\b", text)}


def _declares(header, member):
    """Tell whether a header declares a member, or a VTK macro makes it."""
    if re.search(rf"\b{member}\b", header):
        return True
    match = re.match(r"(?:Set|Get)(\w+)$|(\w+?)(?:On|Off)$", member)
    return bool(match) and re.search(rf"vtk\w*Macro\({match[1] or match[2]}\b", header) is not None


def _vtkMember(cls, member):
    import vtk

    return hasattr(getattr(vtk, cls, None), member)


@functools.cache
def _qtClass(name):
    from PySide6 import QtCore, QtGui, QtWidgets

    for part in (QtCore, QtGui, QtWidgets):
        if hasattr(part, name):
            return getattr(part, name)
    return None


def _isQt(name):
    return name[:1] == "Q" and _qtClass(name) is not None


def _isOfQtFlags(member):
    return hasattr(_qtClass("Qt"), member)


def _qtProperty(cls, name):
    meta = _qtClass(cls).staticMetaObject
    return meta.indexOfProperty(name) >= 0


def _qtMember(cls, name):
    kind = _qtClass(cls)
    return hasattr(kind, name) or (hasattr(kind, "staticMetaObject") and _qtProperty(cls, name))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs="+")
    parser.add_argument("--ctk")
    options = parser.parse_args()
    trees = [Tree(each, options.ctk) for each in options.trees]
    names = sorted(name for name in usedNames() if all(tree.has(name) for tree in trees))
    TABLE.write_text(json.dumps(names, indent=0) + "\n", encoding="utf-8")
    for tree in trees:
        for name in sorted(usedNames()):
            if not tree.has(name):
                sys.stdout.write(f"{tree.slicer}: {name} is not there\n")


if __name__ == "__main__":
    main()
