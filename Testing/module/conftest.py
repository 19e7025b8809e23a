"""Fixtures of the module's tests: one host per process, a clean scene and no swallowed exception per test."""

import os
import sys
import traceback
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODULE_FOLDER = REPOSITORY / "MIASSAM"
FAKE_WORKER = REPOSITORY / "Testing" / "slicer_host" / "fakeWorker.py"


def fakeWorkerCommand(exchangeFolder):
    from MIASSAMSlicerLib.workerSession import consolePython

    return [consolePython(), "-u", str(FAKE_WORKER), str(MODULE_FOLDER), str(exchangeFolder)]


@pytest.fixture(scope="session")
def host():
    from slicer_host import startHost

    return startHost()


@pytest.fixture(scope="session")
def script(host):
    """The entry file, loaded as Slicer loads it."""
    return host.loadModule(MODULE_FOLDER / "MIASSAM.py")


@pytest.fixture(autouse=True)
def noSwallowedException(monkeypatch):
    """Exceptions in slots and observers only reach sys.excepthook; here they fail the test."""
    raised = []

    def keep(*details):
        raised.append("".join(traceback.format_exception(*details)))

    monkeypatch.setattr(sys, "excepthook", keep)
    yield raised
    assert not raised, "\n".join(raised)


@pytest.fixture
def scene(host, script):
    import slicer

    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(0)


@pytest.fixture
def views(host, scene):
    """Red, Yellow, Green and a 3-D view, drawn off screen."""
    from slicer_host.application import closeViews, openViews

    yield openViews(host.application)
    closeViews(host.application)


@pytest.fixture
def logic(scene, script):
    """The logic on the fake worker."""
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    logic = script.MIASSAMLogic(BlockingWorker(fakeWorkerCommand))
    yield logic
    logic.close()


@pytest.fixture
def bank(tmp_path):
    """A folder that the fake worker takes for a bank."""
    folder = tmp_path / "Brain.bank"
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    return folder


def spots(shape=(6, 40, 50)):
    """Voxels (K, J, I): grey 50, a bright spot on slices 2 and 3 left, one on slice 3 right."""
    voxels = np.full(shape, 50, np.float32)
    voxels[2:4, 10:16, 8:14] = 200
    voxels[3, 25:30, 36:42] = 220
    return voxels


def addVolume(voxels=None, ijkToRas=None, name="Patient"):
    import slicer

    return slicer.util.addVolumeFromArray(
        spots() if voxels is None else voxels, np.eye(4) if ijkToRas is None else ijkToRas, name
    )


@pytest.fixture
def volume(scene):
    return addVolume()


@pytest.fixture
def quietDialogs(monkeypatch):
    """No test may hang in a modal box; questions are answered from a list, errors are kept."""
    import slicer

    shown = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_options: shown.append(text))
    for name in ("confirmYesNoDisplay", "confirmOkCancelDisplay"):
        monkeypatch.setattr(slicer.util, name, lambda text, *_arguments, **_options: shown.append(text) or False)
    return shown


@pytest.fixture
def panel(host, script, scene, monkeypatch, tmp_path, quietDialogs):
    """The opened panel, on the fake worker, with a bank folder of its own."""
    from MIASSAMSlicerLib import jobs
    from slicer_host.events import settle

    monkeypatch.setenv("MIASSAM_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.setattr(jobs.ProcessWorker.__init__, "__defaults__", (fakeWorkerCommand,))
    widget = host.openWidget(script, "MIASSAM")
    yield widget
    host.closeWidget("MIASSAM")
    settle()


def chooseModel(panel, name):
    """Choose a model by the library's name for it."""
    from MIASSAMSlicerLib.parameters import ModelChoice

    panel.ui.modelComboBox.currentIndex = [choice.value for choice in ModelChoice].index(name)


@pytest.fixture
def ready(panel, bank):
    """The panel with a volume and a bank chosen."""
    addVolume()
    panel.initializeParameterNode()
    panel.parameters.bankPath = str(bank)
    return panel


@pytest.fixture
def segmented(ready):
    """The panel with results."""
    from .test_panel import segment

    segment(ready)
    return ready


@pytest.fixture(scope="session")
def oneThread():
    """Other tests share this machine."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "2"
    yield
    os.environ.pop("OMP_NUM_THREADS") if before is None else os.environ.__setitem__("OMP_NUM_THREADS", before)


@pytest.fixture(scope="session")
def worker(script, oneThread):
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    with BlockingWorker() as worker:
        yield worker


@pytest.fixture(scope="session")
def smallBank(worker, tmp_path_factory):
    """The bank of the self-test: two phantoms without lesions, every fourth slice."""
    from MIASSAMSlicerLib import samples
    from MIASSAMSlicerLib.moduleTest import SMALL_BANK

    path = tmp_path_factory.mktemp("banks") / "small.bank"
    worker.call("build_sample_bank", {**samples.bankArguments(samples.SAMPLES[0]), **SMALL_BANK, "output": str(path)})
    return path


@pytest.fixture
def realLogic(script, scene, worker):
    """The logic on the real worker; the process stays warm between the tests."""
    return script.MIASSAMLogic(worker)


@pytest.fixture
def sampleVolume(realLogic, worker):
    from MIASSAMSlicerLib import samples

    return samples.loadSample(worker, samples.SAMPLES[0])
