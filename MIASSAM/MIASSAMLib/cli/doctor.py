"""`miassam doctor`: say what this installation has and what it lacks."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import shutil
import sys
from importlib import metadata
from typing import Any

from .. import __version__
from .progress import say

NEEDED = {
    "torch": "torch", "torchvision": "torchvision", "segment_anything": "segment-anything", "faiss": "faiss-cpu",
    "numpy": "numpy", "scipy": "scipy", "SimpleITK": "SimpleITK", "nibabel": "nibabel", "slicerio": "slicerio",
    "PIL": "pillow", "jinja2": "jinja2", "platformdirs": "platformdirs", "psutil": "psutil", "rich": "rich",
}  # fmt: skip
"""Module: the package that brings it."""
OPTIONAL = {"distributed": "distributed", "highdicom": "highdicom"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Say what there is; return 1 when a needed package is missing."""
    found = examine()
    say(json.dumps(found, indent=1) if arguments.json else _words(found))
    return 1 if found["missing"] else 0


def examine() -> dict[str, Any]:
    """Return versions, devices, models, folders and free memory as plain data."""
    packages = {package: version_of(module, package) for module, package in (NEEDED | OPTIONAL).items()}
    missing = [package for package in NEEDED.values() if not packages[package]]
    return {
        "miassam": __version__,
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors",
        "memory": _memory() if packages["psutil"] else "unknown without psutil",
        "packages": packages,
        "devices": _devices() if packages["torch"] else [],
        "models": _models() if not missing else {},
        "missing": missing,
    }


def version_of(module: str, package: str) -> str:
    """Return a module's version without importing it, or "" when it is not there."""
    if importlib.util.find_spec(module) is None:
        return ""
    brought_by = metadata.packages_distributions().get(module, [package])  # faiss comes in several packages
    return metadata.version(brought_by[0])


def _memory() -> str:
    import psutil

    memory = psutil.virtual_memory()
    return f"{memory.available / 1e9:.1f} of {memory.total / 1e9:.1f} GB free"


def _devices() -> list[str]:
    from ..sam.device import device_words

    return device_words()


def _models() -> dict[str, str]:
    from ..checkpoints import list_checkpoints

    found = list_checkpoints()
    folder = found[0].path.parent
    there = next(path for path in (folder, *folder.parents) if path.exists())
    models = {one.entry.name: str(one.path) if one.is_present else "not here" for one in found}
    free = f"{folder} ({shutil.disk_usage(there).free / 1e9:.1f} GB free)"
    return {"embedded": "inside the package", **models, "folder": free}


def _words(found: dict[str, Any]) -> str:
    missing = found["missing"]
    lines = [f"{key}: {found[key]}" for key in ("miassam", "python", "system", "memory")]
    lines.append(f"devices: {', '.join(found['devices']) or 'unknown without torch'}")
    for key in ("packages", "models"):
        lines += [f"{key}:", *(f"  {name:<17} {words or 'not installed'}" for name, words in found[key].items())]
    lack = f"Not installed: {', '.join(missing)}. Install with: pip install {' '.join(missing)}"
    return "\n".join([*lines, lack if missing else "Everything that is needed is installed."])
