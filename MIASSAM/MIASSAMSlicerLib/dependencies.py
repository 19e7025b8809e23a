"""Install what is missing: on a click, after one question, and never in the application's way.

Nothing here imports torch, faiss or segment_anything: that happens in the child process only.
"""

import importlib.metadata
import importlib.util
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import slicer
from packaging.requirements import Requirement
from slicer.i18n import tr as _

from .errors import MissingPackagesError

REQUIREMENTS_FILE = Path(__file__).resolve().parent.parent / "Resources" / "requirements.txt"
TORCH_REQUIREMENT = ">=2.2"
FAISS_CPU = "faiss-cpu>=1.9"
FAISS_GPU = "faiss-gpu-cu12>=1.9"
_PROTECTED = ("numpy", "SimpleITK", "scipy")
"""Packages that Slicer brings; an install must not replace them."""
_ABOUT_MB = {"torch": 900, "faiss-cpu": 12, "faiss-gpu-cu12": 60, "segment-anything": 1, "platformdirs": 1}


def missingPackages():
    """Return the requirements that are not met, as text; without importing any of them."""
    missing = [] if _isInstalled("torch") and _isInstalled("torchvision") else ["torch"]
    missing += [str(each) for each in _fileRequirements() if not _isMet(each)]
    if importlib.util.find_spec("faiss") is None:
        missing.append(faissRequirement())
    return missing


def faissRequirement():
    """Return the faiss that fits this computer."""
    return FAISS_GPU if sys.platform.startswith("linux") and hasNvidiaGpu() else FAISS_CPU


def hasNvidiaGpu():
    """Tell whether the NVIDIA driver lists a GPU."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return False
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return listed.returncode == 0 and b"GPU 0" in listed.stdout


def question(missing):
    """Return the text of the one question that is asked before installing."""
    names = ", ".join(missing)
    size = sum(_ABOUT_MB.get(Requirement(each).name, 10) for each in missing)
    return _(
        "MIASSAM needs these Python packages: {names} (about {size} MB to download). They are installed into "
        "Slicer's Python; numpy and SimpleITK stay as they are. Install now?"
    ).format(names=names, size=size)


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
        say(_("Installing PyTorch..."))
        _installTorch()
    _installOthers([each for each in missing if each != "torch"], say)
    importlib.invalidate_caches()
    return True


def _installTorch():
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
    for requirement in requirements:
        say(_("Installing {name}...").format(name=requirement))
        try:
            _install(requirement)
        except (RuntimeError, subprocess.CalledProcessError, OSError) as error:
            if requirement != FAISS_GPU:
                raise MissingPackagesError(failureText(requirement, error)) from error
            say(_("{name} could not be installed; taking {other} instead.").format(name=FAISS_GPU, other=FAISS_CPU))
            _installOthers([FAISS_CPU], say)


def _install(requirement):
    """Install one package, with Slicer 5.12's function where it is there, else with that of 5.10."""
    constraints = _constraintsFile()
    try:
        packaging = _slicerPackaging()
        if packaging is not None:
            packaging.pip_ensure(
                requirement, constraints=constraints, prompt_install=False, requester="MIASSAM", skip_in_testing=False
            )
        else:
            slicer.util.pip_install(["--constraint", str(constraints), requirement])
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
    return _isInstalled(requirement.name) and requirement.specifier.contains(
        importlib.metadata.version(requirement.name), prereleases=True
    )
