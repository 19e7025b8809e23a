"""Odd and damaged inputs on the real worker and library: each has a defined result or a message."""

import shutil

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import MODULE_FOLDER, addVolume
from .test_exclusion_masks import addLabelMap
from .test_real_model import labelsOf


def voxelsAndPlace(volume):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVolume(volume).copy(), slicer.util.arrayFromVTKMatrix(matrix)


def test_a_constant_volume_has_no_anomaly(realLogic, smallBank):
    results = realLogic.segmentVolume(addVolume(np.full((3, 60, 70), 80, np.float32)), smallBank)
    assert results.segmentation.GetSegmentation().GetNumberOfSegments() == 0
    assert results.points.GetNumberOfControlPoints() == 0


def test_a_single_slice_is_segmented(realLogic, sampleVolume, smallBank):
    voxels, place = voxelsAndPlace(sampleVolume)
    whole = labelsOf(realLogic.segmentVolume(sampleVolume, smallBank, slices=(7, 14)))
    index = int(whole.any((1, 2)).nonzero()[0][-1])
    single = addVolume(voxels[index : index + 1], place, "Single")
    results = realLogic.segmentVolume(single, smallBank, all_slices=True)
    heat = slicer.util.arrayFromVolume(results.heat)
    assert labelsOf(results).shape == (1, *voxels.shape[1:]) and labelsOf(results).any()
    assert np.isfinite(heat).all()


def test_voxels_that_are_not_finite_are_read_as_nought(realLogic, sampleVolume, smallBank):
    voxels, place = voxelsAndPlace(sampleVolume)
    voxels[9:11, 0:3, 0:3] = 0
    zeros = addVolume(voxels[8:12], place, "Zeros")
    voxels[9, 0:3, 0:3], voxels[10, 0:3, 0:3] = np.nan, np.inf
    odd = addVolume(voxels[8:12], place, "Odd")
    first, second = (realLogic.segmentVolume(each, smallBank, all_slices=True) for each in (zeros, odd))
    assert labelsOf(first).any() and np.array_equal(labelsOf(first), labelsOf(second))
    assert any("not finite" in note for note in second.record["notes"])


def damagedBank(bank, folder, how):
    copy = folder / f"{how}.bank"
    shutil.copytree(bank, copy)
    largest = max((path for path in copy.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    if how == "truncated":
        largest.write_bytes(bytes(data[: len(data) // 2]))
    else:
        data[len(data) // 2] ^= 0xFF
        largest.write_bytes(bytes(data))
    return copy, largest.name


@pytest.mark.parametrize("how", ["truncated", "corrupt"])
def test_a_damaged_bank_is_refused_by_the_name_of_its_file(realLogic, sampleVolume, smallBank, tmp_path, how):
    from MIASSAMSlicerLib.errors import WorkerError

    copy, name = damagedBank(smallBank, tmp_path, how)
    with pytest.raises(WorkerError, match=name) as raised:
        realLogic.segmentVolume(sampleVolume, copy, slices=(7, 9))
    assert raised.value.kind == "BankError"


def test_a_bank_of_other_settings_is_refused(realLogic, sampleVolume, smallBank):
    from MIASSAMSlicerLib.errors import WorkerError

    with pytest.raises(WorkerError) as raised:
        realLogic.segmentVolume(sampleVolume, smallBank, preset="paper", slices=(7, 9))
    assert raised.value.kind == "BankMismatchError"


def test_a_damaged_checkpoint_is_refused_by_its_name(realLogic, sampleVolume, smallBank, tmp_path):
    from MIASSAMSlicerLib.errors import WorkerError

    weights = MODULE_FOLDER / "MIASSAMLib" / "sam" / "embedded" / "weights" / "embedded.pt"
    broken = tmp_path / "broken.pth"
    broken.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(WorkerError, match=r"broken\.pth .* is damaged"):
        realLogic.segmentVolume(sampleVolume, smallBank, model="auto", checkpoint=broken, slices=(7, 9))


def test_a_download_without_a_network_is_told(script, monkeypatch, tmp_path):
    from MIASSAMSlicerLib.errors import WorkerError
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    monkeypatch.setenv("MIASSAM_CHECKPOINTS", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with BlockingWorker() as offline, pytest.raises(WorkerError) as raised:
        offline.call("fetch_model", {"name": "vit_b"})
    assert raised.value.kind == "CheckpointError" and "segment_anything" in str(raised.value)
    assert not list(tmp_path.rglob("*.pth"))


def test_a_bank_leaves_out_the_slices_that_a_mask_marks(realLogic, sampleVolume, tmp_path):
    voxels, place = voxelsAndPlace(sampleVolume)
    volume = addVolume(voxels[8:18], place, "Normal")
    mask = np.zeros(voxels[8:18].shape, np.uint8)
    mask[4, 40:50, 40:50] = 1
    answer = realLogic.buildMemoryBank(
        [volume], tmp_path / "Part.bank", modality="mri", excludeMasks={volume: addLabelMap(mask, place)}
    )
    assert answer["n_slices"] == 10 - 5, "the marked slice and two on either side"


def test_a_bank_of_the_paper_ranks_findings_by_their_own_score_in_its_unit(realLogic, sampleVolume, tmp_path):
    voxels, place = voxelsAndPlace(sampleVolume)
    normal, patient = addVolume(voxels[2:5], place, "Normal"), addVolume(voxels[10:13], place, "Patient")
    realLogic.buildMemoryBank([normal], tmp_path / "Paper.bank", modality="mri", preset="paper")
    results = realLogic.segmentVolume(patient, tmp_path / "Paper.bank")
    scores = [finding["score"] for each in results.record["slices"] for finding in each["findings"]]
    assert len(scores) == 3 and min(scores) > 0 and len(set(scores)) == 3
    highest = [each["image_score"] for each in results.record["slices"]]
    assert all(score <= most for score, most in zip(scores, highest)), "a mask holds no more than its slice"
    assert results.heat.GetAttribute("MIASSAM.Unit") == "L2 distance to normal"
    assert not results.points.GetNthControlPointLabel(0).endswith("SD")


@pytest.mark.parametrize("moment", ["at once", "while the model is loaded"])
def test_a_cold_start_is_cancelled_before_a_slice_is_scored(
    host, script, scene, worker, smallBank, quietDialogs, moment, monkeypatch
):
    from MIASSAMSlicerLib import samples

    samples.loadSample(worker, samples.SAMPLES[0])
    panel = host.openWidget(script, "MIASSAM")
    try:
        panel.parameters.bankPath = str(smallBank)
        nodes = slicer.mrmlScene.GetNumberOfNodes()
        panel.ui.segmentButton.click()
        folder = panel.jobs.worker.session.folder
        waitFor(lambda: panel.jobs.worker.processId, what="the worker's process")
        if moment != "at once":
            waitFor(lambda: panel.jobs._open.get("keys"), what="the volume being sent")
            settle(0.1)
        stages = []
        monkeypatch.setattr(panel.jobs, "_onProgress", lambda stage, done, total: stages.append(stage))
        panel.ui.segmentButton.click()
        waitFor(lambda: not panel.jobs.isBusy)
        assert not {"scoring slices", "outlining lesions"} & set(stages)
        assert panel.ui.statusLabel.text == "Stopped. Nothing was changed."
        assert slicer.mrmlScene.GetNumberOfNodes() == nodes
    finally:
        host.closeWidget("MIASSAM")
    assert not folder.exists()
