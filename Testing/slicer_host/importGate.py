"""Which packages a child process may import: what a Slicer version bundles, the module's requirements and theirs."""

import functools
import importlib.metadata
import os
import re
from pathlib import Path

from packaging.requirements import Requirement

from .bundled import BUNDLED

GATE_FOLDER = Path(__file__).resolve().parent / "gate"
REQUIREMENTS_FILE = Path(__file__).resolve().parents[2] / "MIASSAM" / "Resources" / "requirements.txt"
BY_THE_PYTORCH_EXTENSION = ("torch", "torchvision")


def canonical(name):
    """Return a package name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def moduleRequirements():
    """Return what the module asks pip to install."""
    lines = [line.strip() for line in REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def requirementsOf(name):
    """Return what an installed package requires here, without its extras."""
    try:
        listed = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    found = [Requirement(each) for each in listed]
    return [each for each in found if each.marker is None or each.marker.evaluate({"extra": ""})]


def closure(names):
    """Return the packages and all that they require."""
    known, waiting = set(), [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in known:
            known.add(name)
            waiting += [canonical(each.name) for each in requirementsOf(name)]
    return known


@functools.cache
def allowedModules(version):
    """Return the top-level modules that can be imported in Slicer of this version with the module's packages."""
    required = closure([*(each.name for each in moduleRequirements()), *BY_THE_PYTORCH_EXTENSION])
    allowed = required | set(BUNDLED[version])
    distributions = importlib.metadata.packages_distributions()
    return {top for top, owners in distributions.items() if any(canonical(each) in allowed for each in owners)}


def gateEnvironment(version):
    """Return the environment variables that put a child process behind the gate."""
    paths = [str(GATE_FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths), "MIASSAM_IMPORT_GATE": ",".join(sorted(allowedModules(version)))}
