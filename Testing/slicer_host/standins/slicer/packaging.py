"""Stand-in for ``slicer.packaging`` (Slicer 5.12): it never installs into this Python."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import slicer.util
from packaging.requirements import Requirement


def load_requirements(path):
    lines = [line.strip() for line in Path(path).read_text().splitlines()]
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def _listed(requirements):
    listed = requirements if isinstance(requirements, list) else [requirements]
    return [Requirement(item) if isinstance(item, str) else item for item in listed]


def _isMet(requirement):
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        return version(requirement.name) in requirement.specifier
    except PackageNotFoundError:
        return False


def pip_check(requirements):
    return all(_isMet(item) for item in _listed(requirements))


def pip_ensure(
    requirements,
    constraints=None,
    skip_packages=None,
    prompt_install=True,
    prompt_restart=True,
    requester=None,
    skip_in_testing=True,
    show_progress=True,
):
    missing = [item for item in _listed(requirements) if not _isMet(item)]
    if not missing or (skip_in_testing and slicer.app.testingEnabled()):
        return
    if prompt_install and not slicer.util.confirmOkCancelDisplay("\n".join(map(str, missing)), requester or ""):
        raise RuntimeError("User declined package installation")
    pip_install([str(item) for item in missing], constraints=constraints, requester=requester)


def pip_install(requirements, constraints=None, **options):
    """Run pip, as Slicer does, where a test has given it a folder of its own to install into."""
    if not os.environ.get("PIP_TARGET"):
        raise AssertionError(f"a test let the module install {requirements}")
    limits = ["-c", str(constraints)] if constraints else []
    slicer.util.executePythonModule("pip", ["install", *requirements, *limits], blocking=True)
