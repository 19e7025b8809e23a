"""The panel's choices: packages, model, bank, sample and options reach the run."""

import sys

import pytest
import slicer
from slicer_host.events import waitFor

from .conftest import chooseModel
from .test_panel import segment


@pytest.mark.parametrize("accepts", [False, True], ids=["declined", "accepted"])
def test_the_first_click_asks_once_about_missing_packages(ready, monkeypatch, quietDialogs, accepts):
    from MIASSAMSlicerLib import dependencies

    asked, installed = [], []
    nodes = slicer.mrmlScene.GetNumberOfNodes()
    monkeypatch.setattr(dependencies, "missingPackages", lambda: [] if installed else ["platformdirs"])
    monkeypatch.setattr(dependencies, "_install", installed.extend)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: asked.append(text) or accepts)
    ready.ui.segmentButton.click()
    assert len(asked) == 1 and "platformdirs" in asked[0]
    if accepts:
        waitFor(lambda: ready.results is not None and not ready.jobs.isBusy)
        assert installed == ["platformdirs"]
        return
    assert installed == [] and not ready.jobs.worker.isRunning
    assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    assert "Nothing was changed" in quietDialogs[0] and ready.ui.segmentButton.enabled


def test_every_option_reaches_the_run(ready):
    ui = ready.ui
    assert ready.actions.run().options == {"all_slices": False, "sensitivity": 0.05}
    ui.maskComboBox.currentIndex = 4
    ui.promptComboBox.currentIndex = 3
    ui.sensitivitySlider.value = 0.2
    ui.allSlicesCheckBox.click()
    ui.deviceComboBox.currentIndex = 1
    run = ready.actions.run()
    assert run.options == {"all_slices": True, "sensitivity": 0.2, "mask": "auto", "prompt": "box"}
    assert run.model == {"name": "embedded", "device": "cpu"}
    assert run.bankPath == ready.parameters.bankPath


def test_a_bank_and_a_checkpoint_can_be_browsed_for(ready, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_arguments: "/banks/Knee.bank")
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_arguments: "/models/medsam.pth")
    ready.ui.bankBrowseButton.click()
    assert ready.parameters.bankPath == "/banks/Knee.bank" and ready.ui.bankComboBox.currentText == "Knee"
    chooseModel(ready, "auto")
    ready.ui.checkpointBrowseButton.click()
    assert ready.ui.checkpointLineEdit.text == "/models/medsam.pth"
    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_arguments: "")
    ready.ui.bankBrowseButton.click()
    assert ready.parameters.bankPath == "/banks/Knee.bank", "nothing was chosen, so nothing changes"


def test_a_bank_says_what_it_is(ready, tmp_path):
    import json

    draft = {"modality": "mri", "anatomy": "brain FLAIR", "model_name": "vit_b", "preset": "refined"}
    bank = tmp_path / "Heads.bank"
    bank.mkdir()
    (bank / "manifest.json").write_text(json.dumps({"draft": draft, "n_slices": 812}))
    ready.parameters.bankPath = str(bank)
    assert ready.ui.bankInfoLabel.text == "MRI brain FLAIR: 812 normal slices, model vit_b, preset refined"


def test_a_model_that_is_not_here_is_told_with_the_button_that_helps(ready, quietDialogs):
    chooseModel(ready, "vit_h")
    ready.ui.segmentButton.click()
    waitFor(lambda: quietDialogs)
    assert "vit_h is not on this machine" in quietDialogs[0] and "'Download...'" in quietDialogs[0]


def test_a_fetched_model_is_told(ready, monkeypatch):
    """From the click on, so that it cannot pass unwired."""
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: True)
    monkeypatch.setenv("FAKE_WORKER_MODEL", "/cache/sam_vit_b.pth")
    chooseModel(ready, "vit_b")
    ready.ui.downloadModelButton.click()
    waitFor(lambda: not ready.jobs.isBusy)
    assert ready.ui.statusLabel.text == "The model is ready: /cache/sam_vit_b.pth"


@pytest.mark.parametrize("index", [0, 1, 2])
def test_the_chosen_sample_comes_with_its_bank(panel, index):
    from MIASSAMSlicerLib import samples

    assert panel.ui.sampleComboBox.count == 3
    panel.ui.sampleComboBox.currentIndex = index
    panel.ui.loadSampleButton.click()
    waitFor(lambda: panel.parameters.bankPath and not panel.jobs.isBusy)
    assert panel.parameters.inputVolume.GetName() == samples.SAMPLES[index].name
    assert panel.ui.bankComboBox.currentText == samples.SAMPLES[index].bankName
    segment(panel)


def test_downloaded_models_can_be_deleted(ready, monkeypatch):
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: asked.append(text) or True)
    ready.ui.removeModelsButton.click()
    waitFor(lambda: "Freed" in ready.ui.statusLabel.text)
    assert len(asked) == 1


def test_a_download_is_asked_about_and_its_failure_is_told(ready, quietDialogs, monkeypatch):
    assert ready.ui.downloadModelButton.isHidden()
    chooseModel(ready, "vit_b")
    assert not ready.ui.downloadModelButton.isHidden()
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: "ViT-B" in text)
    ready.ui.downloadModelButton.click()
    waitFor(lambda: quietDialogs)
    assert quietDialogs == ["the fake worker has no network"]


def test_the_progress_of_a_large_download_fits_the_bar(ready):
    """SAM ViT-H has more bytes than the bar can count."""
    ready.state.showProgress("fetching", 1_282_275_440, 2_564_550_879)
    assert (ready.ui.progressBar.value, ready.ui.progressBar.maximum) == (1282, 2564)
    assert ready.ui.statusLabel.text == "Downloading: 1282 of 2564 MB"
    ready.state.showProgress("encoding Head A", 3, 30)
    assert ready.ui.statusLabel.text == "Encoding Head A: 3 of 30"


def test_banks_lie_outside_slicers_folder(host, monkeypatch):
    from MIASSAMSlicerLib import banks

    monkeypatch.delenv("MIASSAM_DATA_FOLDER", raising=False)
    folder = banks.bankFolder()
    assert folder.name == "banks" and str(slicer.app.slicerHome) not in str(folder)


def test_a_bank_that_cannot_be_read_is_described_as_such(ready, tmp_path):
    broken = tmp_path / "Broken.bank"
    broken.mkdir()
    (broken / "manifest.json").write_text("{ not json")
    ready.parameters.bankPath = str(broken)
    assert "damaged" in ready.ui.bankInfoLabel.text


def test_a_checkpoint_file_is_asked_for(ready):
    chooseModel(ready, "auto")
    assert not ready.ui.checkpointLineEdit.isHidden()
    assert ready.ui.segmentButton.toolTip == "Choose a checkpoint file."
    ready.ui.checkpointLineEdit.text = "/models/medsam.pth"
    assert ready.ui.segmentButton.enabled
    assert ready.actions.run().model == {"name": "auto", "device": "auto", "checkpoint": "/models/medsam.pth"}


def test_edit_opens_the_segment_editor_on_the_result(segmented, monkeypatch):
    chosen = {}

    class Editor:
        def setSegmentationNode(self, node):
            chosen["segmentation"] = node

        def setSourceVolumeNode(self, node):
            chosen["volume"] = node

    class Representation:
        editor = Editor()

        def widgetRepresentation(self):
            return self

        def self(self):
            return self

    monkeypatch.setattr(slicer.util, "selectModule", lambda name: chosen.update(module=name))
    monkeypatch.setattr(slicer.modules, "segmenteditor", Representation(), raising=False)
    segmented.ui.editButton.click()
    results = segmented.results
    assert chosen == {
        "module": "SegmentEditor",
        "segmentation": results.segmentation,
        "volume": results.inputVolume,
    }


def test_a_shared_bank_is_imported_chosen_and_not_overwritten_unasked(ready, monkeypatch, quietDialogs, tmp_path):
    import qt

    monkeypatch.setenv("MIASSAM_DATA_FOLDER", str(tmp_path))
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_arguments: "/shared/Knee T2.bank.zip")
    ready.ui.importBankButton.click()
    waitFor(lambda: ready.parameters.bankPath.endswith("Knee T2.bank") and not ready.jobs.isBusy)
    assert ready.parameters.bankPath == str(tmp_path / "banks" / "Knee T2.bank")
    assert ready.ui.statusLabel.text == "The bank is ready: 12 normal slices.\nfrom a friend"
    assert ready.ui.bankComboBox.currentText == "Knee T2"
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: asked.append(text))
    ready.ui.importBankButton.click()
    assert len(asked) == 1 and "'Knee T2'" in asked[0] and not ready.jobs.isBusy
    monkeypatch.setattr(qt.QFileDialog, "getOpenFileName", lambda *_arguments: "/shared/damaged.bank.zip")
    ready.ui.importBankButton.click()
    waitFor(lambda: quietDialogs)
    assert "damaged; get it again" in quietDialogs[0] and ready.ui.bankComboBox.currentText == "Knee T2"


def test_the_panel_shows_what_pip_prints(ready, monkeypatch, quietDialogs, capsys):
    """Slicer prints each line of pip, of the PyTorch extension's installer, too."""
    from MIASSAMSlicerLib import dependencies

    shown = []
    monkeypatch.setattr(dependencies, "missingPackages", lambda: [] if shown else ["torch"])
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: True)

    def install():
        sys.stdout.write("Downloading torch-2.9.whl (189.0 MB)\n")
        shown.append(ready.ui.statusLabel.text)

    monkeypatch.setattr(dependencies, "_installTorch", install)
    ready.ui.installButton.click()
    assert shown == ["Downloading torch-2.9.whl (189.0 MB)"]
    assert shown[0] in ready.ui.logTextEdit.toPlainText() and shown[0] in capsys.readouterr().out
    sys.stdout.write("afterwards\n")
    assert "afterwards" not in ready.ui.logTextEdit.toPlainText()
