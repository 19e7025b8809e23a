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
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "segment_anything": ("segment-anything",),
    "faiss": ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12"),
    "numpy": ("numpy",),
    "scipy": ("scipy",),
    "SimpleITK": ("SimpleITK",),
    "nibabel": ("nibabel",),
    "slicerio": ("slicerio",),
    "PIL": ("pillow",),
    "jinja2": ("jinja2",),
    "platformdirs": ("platformdirs",),
    "psutil": ("psutil",),
    "rich": ("rich",),
}
"""Module: the packages that may bring it."""
OPTIONAL = {"distributed": ("distributed",)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `miassam doctor`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Say what there is; return 1 when a needed package is missing."""
    found = examine()
    say(json.dumps(found, indent=1) if arguments.json else "\n".join(_lines(found)))
    return 1 if found["missing"] else 0


def examine() -> dict[str, Any]:
    """Return versions, devices, models, folders and free memory as plain data."""
    packages = {names[0]: version_of(module, names) for module, names in (NEEDED | OPTIONAL).items()}
    missing = [names[0] for module, names in NEEDED.items() if packages[names[0]] is None]
    return {
        "miassam": __version__,
        "python": f"{platform.python_version()} at {sys.executable}",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}, {os.cpu_count()} processors",
        "packages": packages,
        "missing": missing,
        "devices": _devices() if packages["torch"] else [],
        "models": _models() if not missing else {},
        "memory_gb": _free_memory_gb() if packages["psutil"] else {},
    }


def version_of(module: str, packages: tuple[str, ...]) -> str | None:
    """Return a module's version without importing it; "?" when it does not say, None when it is not there."""
    if importlib.util.find_spec(module) is None:
        return None
    for name in packages:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "?"


def _devices() -> list[str]:
    from ..sam.device import device_words

    return device_words()


def _models() -> dict[str, str]:
    from ..checkpoints import list_checkpoints

    found = list_checkpoints()
    models = {one.entry.name: str(one.path) if one.is_present else "not here" for one in found}
    folder = found[0].path.parent
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / 1e9
    return {"embedded": "inside the package", **models, "folder": f"{folder} ({free:.1f} GB free)"}


def _free_memory_gb() -> dict[str, float]:
    import psutil

    memory = psutil.virtual_memory()
    return {"free": round(memory.available / 1e9, 1), "all": round(memory.total / 1e9, 1)}


def _lines(found: dict[str, Any]) -> list[str]:
    lines = [f"MIASSAM {found['miassam']}, Python {found['python']}", found["system"]]
    lines += [f"memory: {found['memory_gb'].get('free', '?')} of {found['memory_gb'].get('all', '?')} GB free"]
    lines += [f"devices: {', '.join(found['devices']) or 'unknown without torch'}", "packages:"]
    lines += [f"  {name:<17} {version or 'not installed'}" for name, version in found["packages"].items()]
    lines += ["models:", *(f"  {name:<17} {words}" for name, words in found["models"].items())]
    missing = found["missing"]
    lack = f"Not installed: {', '.join(missing)}. Install with: pip install {' '.join(missing)}"
    return [*lines, lack if missing else "Everything that is needed is installed."]
