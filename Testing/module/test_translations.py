"""Every text that a user reads goes through ``_()``, with named placeholders and no f-string inside."""

import ast
import re

import pytest

from .conftest import MODULE_FOLDER

FILES = [MODULE_FOLDER / "MIASSAM.py", *sorted((MODULE_FOLDER / "MIASSAMSlicerLib").glob("*.py"))]
USER_CALLS = {
    "errorDisplay",
    "confirmOkCancelDisplay",
    "confirmYesNoDisplay",
    "infoDisplay",
    "warningDisplay",
    "showStatus",
    "ModuleError",
    "MissingPackagesError",
    "EditedSegmentsError",
    "RunCancelled",
    "setWindowTitle",
    "QLabel",
    "SetTitleText",
    "getExistingDirectory",
    "_onMessage",
}
USER_ATTRIBUTES = {"text", "toolTip", "title", "helpText", "acknowledgementText"}


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def hasWords(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[A-Za-z]{2}", node.value)


def wordsIn(value):
    """Return the literal texts that an expression may turn out to be; those inside ``_()`` are none of them."""
    if hasWords(value) or (isinstance(value, ast.JoinedStr) and any(map(hasWords, value.values))):
        return [value]
    isFormatted = isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "format"
    parts = {
        ast.IfExp: lambda: [value.body, value.orelse],
        ast.BoolOp: lambda: value.values,
        ast.BinOp: lambda: [value.left, value.right],
        ast.Call: lambda: [value.func.value] if isFormatted else [],
    }.get(type(value), list)()
    return [text for part in parts for text in wordsIn(part)]


def bareTexts(tree):
    """Return literal texts handed to a user-facing call or attribute without ``_()``."""
    bare = []
    for node in ast.walk(tree):
        values = []
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            values = [*node.args, *(each.value for each in node.keywords)] if name in USER_CALLS else []
        elif isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Attribute) and target.attr in USER_ATTRIBUTES for target in node.targets
        ):
            values = [node.value]
        bare += [ast.unparse(part) for value in values for part in wordsIn(value)]
    return bare


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_user_texts_are_translatable(path):
    assert bareTexts(parsed(path)) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_translated_texts_are_plain_literals_with_named_placeholders(path):
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_":
            assert len(node.args) == 1 and isinstance(node.args[0], ast.Constant), ast.unparse(node)
            assert "{}" not in node.args[0].value


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_names_on_this_side_are_camel_case(path):
    """The case tells which side one stands on; what goes to the library keeps its snake_case as text."""
    named = [node.name for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
    listed = [node.args for node in ast.walk(parsed(path)) if isinstance(node, ast.arguments)]
    named += [argument.arg for arguments in listed for argument in arguments]
    snakes = [name for name in named if "_" in name.strip("_") and not name.startswith("test_")]
    assert not snakes


def test_the_check_sees_a_bare_text():
    assert bareTexts(ast.parse('label.text = "Hello"')) and bareTexts(ast.parse('showStatus(f"Slice {n} done")'))
    assert bareTexts(ast.parse('label.text = _("Hello") if done else "Not yet"'))
    assert bareTexts(ast.parse('showStatus("{n} done".format(n=n))'))
    assert not bareTexts(ast.parse('label.text = _("Hello") if done else _("{n} left").format(n=n)'))
