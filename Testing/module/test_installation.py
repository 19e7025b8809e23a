"""A fresh Python 3.12 with what Slicer bundles; the requirements as the module installs them; then a whole run."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest
from slicer_host.bundled import BUNDLED

from .test_real_model import SLICES, labelsOf

NO_WHEELS = {"couchdb", "pip", "setuptools", "wheel"}
"""Of what Slicer bundles: pure sources that nothing here touches, and the installer itself."""
TORCH_SOURCE = os.environ.get("MIASSAM_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The console Python of a fresh environment with Slicer 5.10's packages and the module's requirements."""
    python = shutil.which("python3.12")
    if python is None or subprocess.run([python, "--version"], capture_output=True).returncode:
        pytest.skip("no Python 3.12, which Slicer 5.10 and later have, is on the path")
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([python, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    bundled = {name: version for name, version in BUNDLED["5.10"].items() if name not in NO_WHEELS}
    install(python, *(f"{name}=={version}" for name, version in bundled.items()))
    constraints = folder / "constraints.txt"
    constraints.write_text("".join(f"{name}=={bundled[name]}\n" for name in ("numpy", "simpleitk", "scipy")))
    from MIASSAMSlicerLib import dependencies

    torch = f"torch{dependencies.TORCH_REQUIREMENT}"
    install(python, "--constraint", constraints, "--extra-index-url", TORCH_SOURCE, torch, "torchvision")
    install(python, "--constraint", constraints, "-r", dependencies.REQUIREMENTS_FILE)
    listed = json.loads(subprocess.check_output([python, "-m", "pip", "list", "--format", "json"]))
    versions = {each["name"].lower().replace("_", "-"): each["version"] for each in listed}
    assert {name: versions[name] for name in bundled} == bundled, "nothing that Slicer brings was replaced"
    return python


def install(python, *words):
    subprocess.run([python, "-m", "pip", "install", "-q", *map(str, words)], check=True)


@pytest.mark.slow
def test_a_fresh_python_with_slicers_packages_runs_sample_bank_segment_and_drag(script, fresh, monkeypatch, tmp_path):
    from MIASSAMSlicerLib import cogPoints, samples, volumes, workerSession
    from MIASSAMSlicerLib.moduleTest import SMALL_BANK
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    monkeypatch.setattr(workerSession, "consolePython", lambda: str(fresh))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    logic = script.MIASSAMLogic(BlockingWorker())
    try:
        volume = samples.loadSample(logic.worker, samples.SAMPLES[0])
        wanted = {**samples.bankArguments(samples.SAMPLES[0]), **SMALL_BANK, "output": str(tmp_path / "s.bank")}
        logic.worker.call("build_sample_bank", wanted)
        results = logic.segmentVolume(volume, tmp_path / "s.bank", slices=SLICES)
        before = labelsOf(results)
        assert before.any()
        link = cogPoints.linkOf(results.points, 0)
        ijk = volumes.ijkFromWorld(volume, cogPoints.worldPosition(results.points, 0)) + np.array([5, 4, 0])
        results.points.SetNthControlPointPositionWorld(0, *volumes.worldFromIjk(volume, ijk))
        logic.redecodeSlice(results, link.sliceIndex, link.lesion)
        changed = np.flatnonzero((labelsOf(results) != before).any((1, 2)))
        assert changed.tolist() == [link.sliceIndex]
    finally:
        logic.close()
