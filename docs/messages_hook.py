"""Adds the page of every error message to the site, read from the source, so that it is never out of date."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.structure.files import File

LIBRARY = Path(__file__).resolve().parents[1] / "MIASSAM" / "MIASSAMLib"
KINDS = {
    "UsageError": "The command or call itself is off (exit code 2)",
    "InputError": "A volume, label or folder cannot be used",
    "BankError": "A memory bank is missing, damaged or cannot be built",
    "BankMismatchError": "A memory bank was built with something else",
    "CheckpointError": "A model checkpoint cannot be used",
}


def on_files(files, config):
    """Add messages.md."""
    files.append(File.generated(config, "messages.md", content=page()))
    return files


def page() -> str:
    """Return the page: messages by kind of error, what is filled in shown as <...>."""
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for path in sorted(LIBRARY.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS and node.args:
                found[node.func.id].add(text_of(node.args[0]))
    lines = ["# Every message", "", "What the program fills in stands in angle brackets.", ""]
    for kind, words in KINDS.items():
        lines += [f"## {words}", "", *(f"- `{text}`" for text in sorted(found[kind]) if len(text) > 12), ""]
    return "\n".join(lines)


def text_of(node: ast.expr) -> str:
    """Return a message's text."""
    if isinstance(node, ast.Constant):
        return str(node.value).replace("`", "'").replace("\n", " ")
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        name = ast.unparse(node.value)
        return f"<{name if name.replace('_', '').replace('.', '').isalnum() else '...'}>"
    return ""
