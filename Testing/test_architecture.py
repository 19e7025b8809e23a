"""The law of walls: arrows go down, the library knows no Slicer, each third party has one room."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = ROOT / "MIASSAM" / "MIASSAMLib"
SLICER = {"slicer", "qt", "ctk", "vtk"}
WALLS = {
    "faiss": {"bank"},
    "segment_anything": {"sam"},
    "torch": {"sam", "volume", "bank", "method", "protocols.py"},
    "SimpleITK": {"volume_io"},
    "nibabel": {"volume_io"},
    "slicerio": {"volume_io"},
    "nrrd": {"volume_io"},
    "PIL": {"volume_io", "outputs", "evaluation"},
    "dask": {"distributed"},
    "distributed": {"distributed"},
    "platformdirs": {"sam", "checkpoints", "method"},
    "rich": {"cli"},
    "jinja2": {"outputs"},
    "filelock": {"files.py"},
}  # fmt: skip
SOURCES = sorted(LIBRARY.rglob("*.py"))


def imported_packages(path: Path) -> set[str]:
    """Return the top-level names of every absolute import of a file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names


def room_of(path: Path) -> str:
    return path.relative_to(LIBRARY).parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_a_library_file_keeps_behind_its_walls(path):
    imported = imported_packages(path)
    assert not imported & SLICER, f"{path.name} imports {imported & SLICER}; the library is Slicer-free"
    assert "pickle" not in imported, f"{path.name} imports pickle; nothing is ever pickled"
    for package, rooms in WALLS.items():
        assert package not in imported or room_of(path) in rooms, f"{package} belongs to {sorted(rooms)}"


BROUGHT_BY_SLICER = {"numpy", "scipy", "SimpleITK", "PIL"}
INSTALLED_APART = {"torch", "faiss", "rich", "dask", "distributed", "nibabel", "slicerio", "nrrd", "matplotlib"}
"""torch and faiss as fits the computer; the others only serve the command line, and say so when they are missing."""


def test_bug_no_bank_could_be_built_in_slicer_without_psutil():
    text = (ROOT / "MIASSAM" / "Resources" / "requirements.txt").read_text(encoding="utf-8")
    listed = {re.split("[=<>]", line)[0].replace("-", "_") for line in text.splitlines() if line[:1] not in ("#", "")}
    imported = set().union(*(imported_packages(path) for path in SOURCES)) - set(sys.stdlib_module_names)
    missing = imported - listed - BROUGHT_BY_SLICER - INSTALLED_APART - {"MIASSAMLib", "miassam_bench"}
    assert not missing, f"{missing} must be listed in MIASSAM/Resources/requirements.txt"


def test_arrows_between_rooms_go_down_only():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--config", ROOT / ".importlinter", "--no-cache"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "MIASSAM"), "PATH": "/usr/bin:/bin", "HOME": "/tmp", "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_opening_the_package_and_its_help_load_nothing_heavy():
    program = (
        "import sys; import MIASSAMLib; from MIASSAMLib.cli.main import build_parser; build_parser().format_help();"
        "heavy = {'torch', 'faiss', 'numpy', 'scipy', 'SimpleITK', 'nibabel', 'rich', 'jinja2'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": str(LIBRARY.parent)}, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(LIBRARY)))
def test_rooms_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 300, f"{path.name} has over 300 lines; split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            lines = node.end_lineno - node.lineno + 1 - (ast.get_docstring(node, clean=False) or "").count("\n")
            assert lines <= 50, f"{path.name}: {node.name} has {lines} lines; split it"
