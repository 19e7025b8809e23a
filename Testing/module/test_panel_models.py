"""The panel's choices of model and bank: downloads, checkpoint files, what a bank says."""

import slicer
from slicer_host.events import waitFor


def test_downloaded_models_can_be_deleted(ready, monkeypatch):
    asked = []
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: asked.append(text) or True)
    ready.ui.removeModelsButton.click()
    waitFor(lambda: "Freed" in ready.ui.statusLabel.text)
    assert len(asked) == 1


def test_a_download_is_asked_about_and_its_failure_is_told(ready, quietDialogs, monkeypatch):
    assert ready.ui.downloadModelButton.isHidden()
    ready.ui.modelComboBox.currentIndex = 1
    assert not ready.ui.downloadModelButton.isHidden()
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, **_options: "ViT-B" in text)
    ready.ui.downloadModelButton.click()
    waitFor(lambda: quietDialogs)
    assert quietDialogs == ["the fake worker has no network"]


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
    ready.ui.modelComboBox.currentIndex = 4
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
