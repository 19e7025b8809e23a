"""Install what is missing: on a click, after one question, and never in the application's way.

Nothing here imports torch, faiss or segment_anything: that happens in the child process only.
"""

import contextlib
import importlib.metadata
import logging
import math
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from slicer.i18n import tr as _

from .errors import MissingPackagesError

REQUIREMENTS_FILE = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"
TORCH_REQUIREMENT = ">=2.3"
"""The first PyTorch that works with numpy 2, which Slicer brings."""
_PROTECTED = ("numpy", "SimpleITK", "scipy")
"""Packages that Slicer brings; an install must not replace them."""
_OTHER_BUILDS = {"faiss-cpu": ("faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12")}
_TORCH_MB = {"nvidia": 3000, "darwin": 80, "other": 250}
"""What PyTorch downloads, about: with an NVIDIA GPU its CUDA libraries come along."""
_ABOUT_MB = {
    "faiss-cpu": 19.0, "nibabel": 3.4, "rich": 1.7, "slicerio": 0.9, "filelock": 0.3,
    "jinja2": 0.2, "psutil": 0.2, "platformdirs": 0.1, "segment-anything": 0.1,
}  # fmt: skip
"""What each requirement downloads, with what it brings and Slicer does not have."""


def missingPackages():
    """Return the requirements that are not met, as text; without importing any of them."""
    missing = [] if torchIsMet() else ["torch"]
    return missing + [str(each) for each in _fileRequirements() if not _isMet(each)]


def torchIsMet():
    """Tell whether PyTorch and torchvision are there, and PyTorch is not too old."""
    return (
        _isInstalled("torch")
        and _isInstalled("torchvision")
        and SpecifierSet(TORCH_REQUIREMENT).contains(importlib.metadata.version("torch"), prereleases=True)
    )


def installedVersions():
    """Return name -> version, or "" where it is missing, of everything this module needs."""
    names = ["torch", "torchvision", *(each.name for each in _fileRequirements()), *_PROTECTED]
    return {name: importlib.metadata.version(name) if _isInstalled(name) else "" for name in names}


def downloadMB(missing):
    """Return how much an install downloads, in MB; sizes are those of 2026."""
    hasNvidia = shutil.which("nvidia-smi") is not None and sys.platform != "darwin"
    system = "nvidia" if hasNvidia else "darwin" if sys.platform == "darwin" else "other"
    others = sum(_ABOUT_MB.get(Requirement(each).name, 1) for each in missing if each != "torch")
    return _TORCH_MB[system] * ("torch" in missing) + math.ceil(others)


def question(missing):
    """Return the text of the one question that is asked before installing."""
    return _(
        "MIASSAM needs these Python packages: {names} (about {size} MB to download; twice that on disk). They are "
        "installed into Slicer's Python; numpy and SimpleITK stay as they are. It takes some minutes, in which the "
        "window answers slowly; the panel shows what pip says. Install now?"
    ).format(names=", ".join(missing), size=downloadMB(missing))


def ensurePackages(confirm, say=logging.info):
    """Install what is missing after ``confirm(text)``; return whether anything was installed.

    Raises MissingPackagesError when the user declines or an install fails; its text names the package and the
    next step. Pass ``confirm=None`` where nobody can be asked: then what is missing is only named.
    """
    missing = missingPackages()
    if not missing:
        return False
    if confirm is None:
        raise MissingPackagesError(
            _(
                "These Python packages are missing: {names}. Open MIASSAM in Slicer and click "
                "'Install required packages...' once."
            ).format(names=", ".join(missing))
        )
    if not confirm(question(missing)):
        raise MissingPackagesError(
            _(
                "Not installed: {names}. Nothing was changed. Segmenting needs these packages; "
                "viewing and editing earlier results does not."
            ).format(names=", ".join(missing))
        )
    if "torch" in missing:
        say(_("Installing PyTorch (about {size} MB)...").format(size=downloadMB(["torch"])))
        _installTorch()
    _installOthers([each for each in missing if each != "torch"], say)
    importlib.invalidate_caches()
    return True


@contextlib.contextmanager
def outputTo(say):
    """Pass on each line that is printed meanwhile: Slicer prints what pip says, of PyTorch's installer, too."""
    with contextlib.redirect_stdout(_Lines(sys.stdout, say)):
        yield


class _Lines:
    """A stream that writes on to another one and says every full line."""

    def __init__(self, stream, say):
        self._stream, self._say, self._rest = stream, say, ""

    def write(self, text):
        self._stream.write(text)
        *lines, self._rest = (self._rest + text).replace("\r", "\n").split("\n")
        for line in filter(None, map(str.strip, lines)):
            self._say(line)

    def flush(self):
        self._stream.flush()


def _installTorch():
    if _isInstalled("torch") and not torchIsMet():
        raise MissingPackagesError(
            _(
                "PyTorch {version} is installed, and PyTorch {wanted} with torchvision is needed. Open the module "
                "'PyTorch Util', uninstall PyTorch, restart Slicer and try again."
            ).format(version=importlib.metadata.version("torch"), wanted=TORCH_REQUIREMENT)
        )
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise MissingPackagesError(
            _(
                "PyTorch is installed by the 'PyTorch' extension, which is not there. Install it "
                "in the Extensions Manager, restart Slicer and try again."
            )
        ) from error
    try:
        installed = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=False, torchVersionRequirement=TORCH_REQUIREMENT
        )
    except Exception as error:  # whatever the other extension raises, the user gets the next step
        raise MissingPackagesError(failureText("torch", error)) from error
    if installed is None:
        raise MissingPackagesError(failureText("torch", _("the PyTorch extension installed nothing")))


def _installOthers(requirements, say):
    if not requirements:
        return
    names = ", ".join(requirements)
    say(_("Installing {name}...").format(name=names))
    try:
        _install(requirements)
    except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
        raise MissingPackagesError(failureText(names, error)) from error


def _install(requirements):
    """Install packages, with Slicer 5.12's function where it is there, else with that of 5.10."""
    constraints = _constraintsFile()
    try:
        packaging = _slicerPackaging()
        if packaging is not None:
            packaging.pip_ensure(
                requirements,
                constraints=constraints,
                prompt_install=False,
                requester="MIASSAM",
                skip_in_testing=False,
                show_progress=False,  # with it, Slicer would open an error box of its own before ours
            )
        else:
            slicer.util.pip_install(["--constraint", str(constraints), *requirements])
    finally:
        constraints.unlink(missing_ok=True)


def _slicerPackaging():
    try:
        import slicer.packaging as packaging
    except ModuleNotFoundError:
        return None
    return packaging if hasattr(packaging, "pip_ensure") else None


def _constraintsFile():
    """Write a pip constraints file that keeps what Slicer brings."""
    lines = [f"{name}=={importlib.metadata.version(name)}" for name in _PROTECTED if _isInstalled(name)]
    with tempfile.NamedTemporaryFile("w", suffix=".txt", prefix="miassam-constraints-", delete=False) as file:
        file.write("\n".join(lines) + "\n")
    return Path(file.name)


def failureText(requirement, error):
    """Say which package failed and what to do next."""
    return _(
        "{name} could not be installed ({error}). Check the internet connection and the free disk space, then "
        "click 'Install required packages...' again. Earlier results can still be viewed and edited."
    ).format(name=requirement, error=error)


def _fileRequirements():
    lines = [line.strip() for line in REQUIREMENTS_FILE.read_text(encoding="utf-8").splitlines()]
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def _isInstalled(name):
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _isMet(requirement):
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    if any(_isInstalled(name) for name in _OTHER_BUILDS.get(requirement.name, ())):
        return True
    return _isInstalled(requirement.name) and requirement.specifier.contains(
        importlib.metadata.version(requirement.name), prereleases=True
    )
