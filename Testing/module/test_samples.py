"""Samples: registered in the Sample Data module, generated without a download, with thumbnails."""

import struct
from pathlib import Path

import pytest
import slicer

from .conftest import fakeWorkerCommand


@pytest.fixture
def registered(script, scene, monkeypatch):
    from MIASSAMSlicerLib import workerBlocking
    from MIASSAMSlicerLib.sampleData import CATEGORY

    slicer.modules.__dict__.pop("sampleDataSources", None)
    monkeypatch.setattr(workerBlocking.BlockingWorker.__init__, "__defaults__", (fakeWorkerCommand,))
    slicer.app.startupCompleted.emit()
    return slicer.modules.sampleDataSources[CATEGORY]


def test_samples_are_registered_once_slicer_has_started(registered):
    assert [source.sampleName for source in registered] == ["MIASSAMBrain", "MIASSAMLiver", "MIASSAMRetina"]


def test_each_sample_has_a_thumbnail(registered):
    assert len(registered) == 3
    for source in registered:
        data = Path(source.thumbnailFileName).read_bytes()
        assert struct.unpack(">II", data[16:24]) == (260, 280)


def test_a_sample_is_generated_on_a_click(registered):
    (node,) = registered[0].customDownloader(registered[0])
    assert node.GetName() == "MIASSAMBrain"
    assert node.GetImageData().GetDimensions() == (50, 40, 6)


def test_slicer_5_10_has_no_categories(script, scene, monkeypatch):
    import SampleData
    from MIASSAMSlicerLib.sampleData import CATEGORY, registerSampleData

    monkeypatch.delattr(SampleData.SampleDataLogic, "registerCustomSampleDataCategory")
    slicer.modules.__dict__.pop("sampleDataSources", None)
    registerSampleData()
    assert len(slicer.modules.sampleDataSources[CATEGORY]) == 3


def test_a_bank_of_another_version_or_model_is_built_anew(script, tmp_path, monkeypatch):
    import json

    from MIASSAMLib import __version__
    from MIASSAMSlicerLib import samples

    monkeypatch.setenv("MIASSAM_DATA_FOLDER", str(tmp_path))
    sample, digest = samples.SAMPLES[0], samples.embeddedDigest()
    assert not samples.hasCurrentBank(sample)
    sample.bankPath.mkdir(parents=True)
    cases = (("0.0.1", digest, False), (__version__, "f" * 64, False), (__version__, digest, True))
    for version, model, isCurrent in cases:
        draft = {"code_version": version, "model_digest": model}
        (sample.bankPath / "manifest.json").write_text(json.dumps({"draft": draft}))
        assert samples.hasCurrentBank(sample) == isCurrent
