"""The module on the real library with the embedded model: the same masks as the command line, and the walk-through."""

import os
import subprocess
import sys

import numpy as np
import pytest
import slicer
from slicer_host.events import settle, waitFor

from .conftest import MODULE_FOLDER
from .test_corrections import drag, voxelsOf, waitUntilDone
from .test_logic import linearTransform, turned

SLICES = (7, 14)


def labelsOf(results):
    """Return the lesion numbers as one array (K, J, I)."""
    from MIASSAMSlicerLib import anomalySegments

    volume = results.inputVolume
    labels = np.zeros(tuple(reversed(volume.GetImageData().GetDimensions())), np.uint8)
    for lesion, segmentID in anomalySegments.ownSegments(results.segmentation).items():
        labels[anomalySegments.segmentArray(results.segmentation, segmentID, volume) > 0] = lesion
    return labels


def test_masks_are_those_of_the_command_line_voxel_for_voxel(realLogic, sampleVolume, smallBank, tmp_path):
    results = realLogic.segmentVolume(sampleVolume, smallBank, slices=SLICES)
    labels = labelsOf(results)
    assert labels.any()
    slicer.util.saveNode(sampleVolume, str(tmp_path / "case.nrrd"))
    command = [sys.executable, "-m", "MIASSAMLib", "segment", str(tmp_path / "case.nrrd"), "--bank", str(smallBank)]
    command += ["--output", str(tmp_path / "out"), "--slices", f"{SLICES[0]}:{SLICES[1]}"]
    environment = {**os.environ, "PYTHONPATH": str(MODULE_FOLDER)}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    written = slicer.util.loadSegmentation(str(tmp_path / "out" / "case.seg.nrrd"))
    theirs = np.zeros_like(labels)
    for number, segmentID in enumerate(written.GetSegmentation().GetSegmentIDs(), 1):
        theirs[slicer.util.arrayFromSegmentBinaryLabelmap(written, segmentID, sampleVolume) > 0] = number
    assert np.array_equal(labels, theirs)
    heat = slicer.util.loadVolume(str(tmp_path / "out" / "case_anomaly.nii.gz"))
    assert np.allclose(slicer.util.arrayFromVolume(heat), slicer.util.arrayFromVolume(results.heat), atol=1e-4)


def test_flipped_storage_under_a_turned_transform_gives_the_same_masks(realLogic, sampleVolume, smallBank):
    """The same patient stored another way round and moved in the scene: the same voxels are outlined."""
    labels = labelsOf(realLogic.segmentVolume(sampleVolume, smallBank, slices=SLICES))
    voxels = slicer.util.arrayFromVolume(sampleVolume)
    place = slicer.util.arrayFromVTKMatrix(_ijkToRas(sampleVolume)).copy()
    flipped = place.copy()
    for axis in (0, 1):
        flipped[:3, 3] += flipped[:3, axis] * (voxels.shape[2 - axis] - 1)
        flipped[:3, axis] *= -1
    other = slicer.util.addVolumeFromArray(np.ascontiguousarray(voxels[:, ::-1, ::-1]), flipped, "Flipped")
    other.SetAndObserveTransformNodeID(linearTransform(turned(8.0, (1, 1, 1))).GetID())
    results = realLogic.segmentVolume(other, smallBank, slices=SLICES)
    assert np.array_equal(labelsOf(results)[:, ::-1, ::-1], labels)


def _ijkToRas(volumeNode):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    volumeNode.GetIJKToRASMatrix(matrix)
    return matrix


def test_another_option_needs_no_new_encoding(realLogic, sampleVolume, smallBank, worker):
    from MIASSAMSlicerLib.runs import Target

    realLogic.segmentVolume(sampleVolume, smallBank, slices=SLICES)
    run = {
        "volume": realLogic._open(Target(sampleVolume)),
        "bank": str(smallBank),
        "options": {"slices": list(SLICES)},
    }
    first = worker.call("segment", {**run, "model": {"name": "embedded", "device": "auto"}})
    run["options"]["mask"] = "1"
    second = worker.call("segment", {**run, "model": {"name": "embedded", "device": "auto"}})
    assert first["n_encoded"] == second["n_encoded"] == SLICES[1] - SLICES[0]


@pytest.mark.parametrize("options", [{}, {"mask": "1", "prompt": "max"}, {"all_slices": True, "sensitivity": 0.2}])
def test_a_drag_of_zero_pixels_changes_nothing(realLogic, sampleVolume, smallBank, options):
    """Each part, decoded again from the points that the run has set, is the same voxel for voxel."""
    from MIASSAMSlicerLib import cogPoints

    results = realLogic.segmentVolume(sampleVolume, smallBank, slices=SLICES, **options)
    before, points = labelsOf(results), results.points
    assert before.any()
    for index in range(points.GetNumberOfControlPoints()):
        link = cogPoints.linkOf(points, index)
        realLogic.redecodeSlice(results, link.sliceIndex, link.lesion)
        assert np.array_equal(labelsOf(results), before), link


@pytest.mark.parametrize("preset", ["", "paper"])
def test_a_point_is_outlined_without_a_bank(realLogic, sampleVolume, preset):
    """The point lies in a bright lesion: its outline holds the point, and one slice only."""
    from MIASSAMLib.phantoms import make_phantom
    from MIASSAMSlicerLib import cogPoints, volumes

    results = realLogic.resultsOnDemand(sampleVolume, preset=preset)
    assert results.sliceAxis == 2 and results.heat is None
    truth = make_phantom("brain", 1, 2).lesion_labels_kji == 1
    k = int(truth.sum((1, 2)).argmax())
    j, i = np.round(np.argwhere(truth[k]).mean(0)).astype(int)
    link, position = cogPoints.PointLink(k, 1), tuple(volumes.worldFromIjk(sampleVolume, (i, j, k)))
    cogPoints.addPoint(results.points, cogPoints.PointState(position, "", link))
    answer = realLogic.redecodeSlice(results, k, 1)
    labels = labelsOf(results)
    assert answer["prompt"] and labels[k, j, i] == 1 and set(np.flatnonzero(labels.any((1, 2)))) == {k}


def test_wrong_requests_come_back_in_words(realLogic, sampleVolume, smallBank, tmp_path):
    from MIASSAMSlicerLib.errors import WorkerError

    with pytest.raises(WorkerError, match="choose"):
        realLogic.segmentVolume(sampleVolume, smallBank, model="vit_q")
    with pytest.raises(WorkerError, match="unknown"):
        realLogic.segmentVolume(sampleVolume, smallBank, colour="red")
    with pytest.raises(WorkerError, match="select nothing"):
        realLogic.segmentVolume(sampleVolume, smallBank, slices=(400, 500))
    damaged = tmp_path / "damaged.bank"
    damaged.mkdir()
    (damaged / "manifest.json").write_text((smallBank / "manifest.json").read_text().replace("refined", "refund"))
    with pytest.raises(WorkerError, match="manifest"):
        realLogic.segmentVolume(sampleVolume, damaged)


def test_the_self_test_passes_offline_and_does_little(host, script, scene, oneThread, monkeypatch):
    """One small bank, one run on few slices and one correction."""
    from MIASSAMSlicerLib.workerBlocking import BlockingWorker

    calls, call = [], BlockingWorker.call

    def noted(self, verb, *rest, **named):
        answer = call(self, verb, *rest, **named)
        calls.append((verb, answer))
        return answer

    monkeypatch.setattr(BlockingWorker, "call", noted)
    monkeypatch.setattr(slicer.util, "delayDisplay", lambda *_arguments, **_options: None)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    slicer.selfTests["MIASSAM"](msec=0)
    answers = dict(calls)
    assert [verb for verb, _ in calls] == ["make_sample", "build_sample_bank", "open_volume", "segment", "redecode"]
    assert answers["build_sample_bank"]["n_slices"] <= 12 and answers["segment"]["n_encoded"] <= 8


@pytest.fixture
def walker(host, script, scene, views, worker, smallBank, tmp_path, monkeypatch, quietDialogs):
    """The opened panel on the real worker, whose sample bank is built from few slices."""
    from MIASSAMSlicerLib import samples
    from MIASSAMSlicerLib.moduleTest import SMALL_BANK

    monkeypatch.setenv("MIASSAM_DATA_FOLDER", str(tmp_path / "data"))
    plain = samples.bankArguments
    monkeypatch.setattr(samples, "bankArguments", lambda sample: {**plain(sample), **SMALL_BANK})
    yield host.openWidget(script, "MIASSAM")
    host.closeWidget("MIASSAM")


def segmentSample(panel):
    panel.ui.loadSampleButton.click()
    waitFor(lambda: panel.parameters.bankPath and not panel.jobs.isBusy, 300, "sample and bank")
    panel.ui.segmentButton.click()
    waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, 300, "results")
    assert panel.ui.resultsTable.rowCount > 3
    assert panel.ui.deviceInUseLabel.text in ("used: cpu", "used: cuda", "used: mps", "used: cuda:0")


def saveAndReload(panel, path):
    slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(0)
    settle()
    assert panel.results is None
    slicer.util.loadScene(str(path))
    waitFor(lambda: panel.results is not None, what="the reloaded results")


def same(some, others):
    return all(np.array_equal(a, b) for a, b in zip(some, others, strict=True))


def test_the_walk_through_from_real_clicks(walker, views, tmp_path):
    """Load sample, segment, jump, drag, undo, save, reload, drag again."""
    from MIASSAMSlicerLib import cogPoints, samples, volumes

    segmentSample(walker)
    assert samples.hasCurrentBank(samples.SAMPLES[0]), "the next click takes the bank that was built"
    before, points = voxelsOf(walker), walker.results.points
    link, position = cogPoints.linkOf(points, 0), cogPoints.worldPosition(points, 0)
    row = next(n for n, (each, _) in enumerate(walker.table._rows) if each["index"] == link.sliceIndex)
    walker.ui.resultsTable.cellClicked.emit(row, 0)
    shown = views.sliceViews["Red"].node.GetSliceToRAS().GetElement(2, 3)
    assert shown == pytest.approx(position[2], abs=1e-3), "the view has jumped to the slice"
    target = volumes.ijkFromWorld(walker.results.inputVolume, position) + np.array([4, 3, 0])
    drag(walker, 0, target)
    waitUntilDone(walker)
    moved = voxelsOf(walker)
    changed = {int(k) for a, b in zip(before, moved, strict=True) for k in np.flatnonzero((a != b).any((1, 2)))}
    assert changed <= {link.sliceIndex}
    walker.ui.undoButton.click()
    assert same(voxelsOf(walker), before)
    saveAndReload(walker, tmp_path / "walk.mrb")
    assert same(voxelsOf(walker), before)
    points = walker.results.points
    links = [cogPoints.linkOf(points, n) for n in range(points.GetNumberOfControlPoints())]
    drag(walker, links.index(link), target)
    waitUntilDone(walker)
    assert same(voxelsOf(walker), moved)
