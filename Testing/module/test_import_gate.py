"""Only what Slicer bundles and the module requires is imported, in the application and in its child process."""

import ast
import importlib.metadata
import subprocess
import sys

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from slicer_host.bundled import BUNDLED, readBundled
from slicer_host.importGate import (
    BY_THE_PYTORCH_EXTENSION,
    allowedModules,
    canonical,
    closure,
    gateEnvironment,
    moduleRequirements,
    requirementsOf,
)

from .conftest import MODULE_FOLDER, REPOSITORY
from .slicerSource import SOURCE

VERSIONS = sorted(BUNDLED)
IN_THE_APPLICATION = {"slicer", "qt", "ctk", "vtk", "SampleData", "PyTorchUtils", "MIASSAMLib", "MIASSAMSlicerLib"}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_gate_is_shut_and_open_where_it_should_be(version, monkeypatch):
    for name, value in gateEnvironment(version).items():
        monkeypatch.setenv(name, value)
    program = "import numpy, scipy, json, torch, segment_anything\n"
    subprocess.run([sys.executable, "-c", program], check=True)
    for closed in ("pytest", "sklearn", "PySide6", "slicer"):
        done = subprocess.run([sys.executable, "-c", f"import {closed}"], capture_output=True, text=True, check=False)
        assert done.returncode and f"No module named '{closed}'" in done.stderr, closed


@pytest.mark.parametrize("version", VERSIONS)
def test_sample_bank_run_and_drag_need_nothing_else(version, script, scene, oneThread, monkeypatch, tmp_path):
    """The whole way through the child process, on the packages of that Slicer alone."""
    from MIASSAMSlicerLib import cogPoints, samples
    from MIASSAMSlicerLib.moduleTest import SMALL_BANK
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    for name, value in gateEnvironment(version).items():
        monkeypatch.setenv(name, value)
    with BlockingWorker() as worker:
        logic = script.MIASSAMLogic(worker)
        volume = samples.loadSample(worker, samples.SAMPLES[0])
        bank = tmp_path / "small.bank"
        arguments = {**samples.bankArguments(samples.SAMPLES[0]), **SMALL_BANK, "output": str(bank)}
        worker.call("build_sample_bank", arguments)
        results = logic.segmentVolume(volume, bank, slices=(7, 14))
        link = cogPoints.linkOf(results.points, 0)
        logic.redecodeSlice(results, link.sliceIndex, link.lesion)
        assert logic.buildMemoryBank([volume], tmp_path / "own.bank", modality="mri")["n_slices"] > 0


def imports(path):
    """Return the top-level packages a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_module_imports_only_what_the_application_has(version):
    files = [MODULE_FOLDER / "MIASSAM.py", *(MODULE_FOLDER / "MIASSAMSlicerLib").glob("*.py")]
    bundled = {top for top, owners in importlib.metadata.packages_distributions().items()
               if any(canonical(each) in BUNDLED[version] for each in owners)}  # fmt: skip
    known = IN_THE_APPLICATION | bundled | set(sys.stdlib_module_names)
    found = {(path.name, name) for path in files for name in imports(path) if name not in known}
    assert not found


@pytest.mark.parametrize("version", VERSIONS)
def test_the_library_imports_only_what_slicer_brings_or_the_module_installs(version):
    """Every import in the library, also those that no test reaches, but for the extras (dask, highdicom)."""
    files = [path for path in (MODULE_FOLDER / "MIASSAMLib").rglob("*.py") if "distributed" not in path.parts]
    known = allowedModules(version) | set(sys.stdlib_module_names) | {"MIASSAMLib", "MIASSAMSlicerLib"}
    found = {(path.name, name) for path in files for name in imports(path)}
    assert not {each for each in found if each[1] not in known | {"dask", "distributed", "highdicom", "miassam_bench"}}


def test_the_module_requires_what_the_library_does():
    """A package that the library starts to need must reach Slicer's users too."""
    lines = [line.split("#")[0].strip() for line in (REPOSITORY / "requirements.txt").read_text().splitlines()]
    wanted = {canonical(Requirement(line).name) for line in lines if line and not line.startswith("-")}
    here = {canonical(each.name) for each in moduleRequirements()} | closure(BY_THE_PYTORCH_EXTENSION)
    assert wanted <= here | set(BUNDLED["5.10"]), wanted - here - set(BUNDLED["5.10"])


@pytest.mark.parametrize("version", VERSIONS)
def test_no_requirement_would_replace_what_slicer_brings(version):
    """numpy, SimpleITK and the rest stay as they are: every requirement takes the bundled version."""
    packages = closure([each.name for each in moduleRequirements()])
    clashes = [
        f"{name} wants {each}, Slicer {version} has {BUNDLED[version][canonical(each.name)]}"
        for name in packages - closure(BY_THE_PYTORCH_EXTENSION) - set(BUNDLED[version])
        for each in [*requirementsOf(name), *moduleRequirements()]
        if canonical(each.name) in BUNDLED[version]
        and not each.specifier.contains(Version(BUNDLED[version][canonical(each.name)]), prereleases=True)
    ]
    assert not clashes


@pytest.mark.skipif(SOURCE is None, reason="SLICER_PYTHON names no Slicer source tree")
def test_the_lists_are_those_of_the_source_tree():
    found = readBundled(SOURCE)
    match = [version for version in VERSIONS if BUNDLED[version].get("numpy") == found.get("numpy")]
    assert match, "a new Slicer: add its list"
    assert {name: found.get(name) for name in ("numpy", "scipy")} == {
        name: BUNDLED[match[-1]][name] for name in ("numpy", "scipy")
    }
