"""The law of walls: arrows go down, the library knows no Slicer, each third party has one room."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

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
    "highdicom": {"volume_io"},
    "pydicom": {"volume_io"},
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


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> int:
    """Return the lines of a function that are neither docstring nor comment nor blank."""
    first = function.body[0]
    is_documented = ast.get_docstring(function) is not None
    words = range(first.lineno, first.end_lineno + 1) if is_documented else range(0)
    own = [number for number in range(function.lineno, function.end_lineno + 1) if number not in words]
    return sum(lines[number - 1].strip()[:1] not in ("", "#") for number in own)


def n_parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    given = function.args
    named = [one.arg for one in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls")]) + bool(given.vararg) + bool(given.kwarg)


def test_every_library_file_keeps_behind_its_walls():
    offenders = []
    for path in SOURCES:
        imported = imported_packages(path)
        offenders += [f"{path.name} imports {one}; the library is Slicer-free" for one in imported & SLICER]
        offenders += [
            f"{path.name} imports {package}, which belongs to {sorted(rooms)}"
            for package, rooms in WALLS.items()
            if package in imported and room_of(path) not in rooms
        ]
    assert SOURCES and not offenders, "\n".join(offenders)


def test_nothing_is_pickled_or_printed():
    offenders = []
    for path in SOURCES:
        if imported_packages(path) & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve"}:
            offenders.append(f"{path.name} imports a pickler; nothing is ever pickled")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                offenders.append(f"{path.name}:{node.value.lineno} allows pickles")
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
                offenders.append(f"{path.name}:{node.lineno} prints; the command line speaks through its console")
    assert not offenders, "\n".join(offenders)


MOST_LINES, MOST_CODE_LINES, MOST_PARAMETERS = 300, 40, 5


def test_files_functions_and_signatures_stay_small():
    offenders = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > MOST_LINES:
            offenders.append(f"{path.name} has {len(lines)} lines; split it at {MOST_LINES}")
        for function in functions_of(path):
            place = f"{path.name}:{function.lineno} {function.name}"
            if (count := code_lines(function, lines)) > MOST_CODE_LINES:
                offenders.append(f"{place} has {count} lines of code; split it at {MOST_CODE_LINES}")
            signature = lines[function.lineno - 1 : function.body[0].lineno - 1]
            if n_parameters(function) > MOST_PARAMETERS and not any("# " in line for line in signature):
                offenders.append(
                    f"{place} has {n_parameters(function)} parameters; bundle them, or say why beside them"
                )
    assert not offenders, "\n".join(offenders)


BROUGHT_BY_SLICER = {"numpy", "scipy", "SimpleITK", "PIL"}
INSTALLED_APART = {
    "torch",
    "faiss",
    "rich",
    "dask",
    "distributed",
    "nibabel",
    "slicerio",
    "nrrd",
    "matplotlib",
    "highdicom",
    "pydicom",
}
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
