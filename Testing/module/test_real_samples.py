"""Every sample as the user gets it: loaded, its own bank built, segmented, compared with the truth in RAS."""

import numpy as np
import pytest
from scipy import ndimage

from .test_real_model import labelsOf

LEAST_DICE = {"MIASSAMBrain": 0.6, "MIASSAMLiver": 0.2, "MIASSAMRetina": 0.2}
LESIONS_FOUND = {"MIASSAMBrain": 2, "MIASSAMLiver": 1, "MIASSAMRetina": 1}
"""How many lesions the embedded model finds; it misses the other one of the liver (docs/slicer_module.md says so)."""
FARTHEST = 0.5
"""How far the center of an outlined part may lie from that of the true lesion, as a share of the lesion's size."""


def parts(labels, volume):
    """Return (center in RAS, extent in mm) of each connected part of bool (K, J, I)."""
    from MIASSAMSlicerLib.volumes import ijkToWorld, worldFromIjk

    voxelMm = np.linalg.norm(ijkToWorld(volume)[:3, :3], axis=0)
    numbers, count = ndimage.label(labels)
    found = []
    for number in range(1, count + 1):
        ijk = np.argwhere(numbers == number)[:, ::-1]
        found.append((worldFromIjk(volume, ijk.mean(0)), np.linalg.norm((np.ptp(ijk, axis=0) + 1) * voxelMm)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("index", [0, 1, 2], ids=["brain", "liver", "retina"])
def test_a_sample_is_segmented_where_its_truth_lies(realLogic, worker, monkeypatch, tmp_path, index):
    from MIASSAMSlicerLib import samples

    monkeypatch.setenv("MIASSAM_DATA_FOLDER", str(tmp_path))
    sample = samples.SAMPLES[index]
    answer = worker.call("make_sample", sample.arguments)
    truth = np.load(worker.session.folder / answer["truth"], allow_pickle=False) > 0
    volume = samples.addSample(sample, worker.session, answer)
    results = realLogic.segmentVolume(volume, samples.ensureSampleBank(worker, sample))
    found = labelsOf(results) > 0
    lesions = parts(truth, volume)
    assert len(lesions) == sample.nLesions
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > LEAST_DICE[sample.name], f"Dice {dice:.2f}"
    outlined = parts(found, volume)
    distances = [(min(np.linalg.norm(center - other) for other, _ in outlined), extent) for center, extent in lesions]
    assert sum(distance < FARTHEST * extent for distance, extent in distances) >= LESIONS_FOUND[sample.name], distances
