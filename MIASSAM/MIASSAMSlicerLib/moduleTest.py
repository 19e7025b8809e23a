"""MIASSAMTest: the self-test that runs inside Slicer, offline, in under a minute."""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleTest

from . import anomalySegments, cogPoints, dependencies, samples, segmentVoxels
from .errors import ModuleError
from .logic import MIASSAMLogic
from .volumes import ijkFromWorld, worldFromIjk

SMALL_BANK = {"seeds": [101, 102], "every": 4}
"""Enough normal slices for a test, few enough for a minute."""
SLICES = (7, 15)
LEAST_DICE = 0.6
LEAST_SHARE_IN_LESION = 0.75


class MIASSAMTest(ScriptedLoadableModuleTest):
    """Segments a generated sample with the embedded model, corrects a point, and checks both against the truth."""

    def setUp(self):
        slicer.mrmlScene.Clear(0)
        self.logic = MIASSAMLogic()
        self.folder = Path(tempfile.mkdtemp(prefix="miassam-test-", dir=slicer.app.temporaryPath))

    def tearDown(self):
        self.logic.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def runTest(self):
        """Run every test of this class."""
        missing = dependencies.missingPackages()
        if missing:
            self.skipTest(
                _("MIASSAMTest needs these packages: {names}. Install them by the panel.").format(
                    names=", ".join(missing)
                )
            )
        start = time.monotonic()
        for test in (self.test_refusesWhatItCannotSegment, self.test_segmentsAndCorrectsASample):
            self.setUp()
            try:
                test()
            finally:
                self.tearDown()
        seconds = time.monotonic() - start
        self.delayDisplay(f"MIASSAMTest passed in {seconds:.0f} s")

    def test_refusesWhatItCannotSegment(self):
        self.delayDisplay("Refusing wrong inputs")
        with self.assertRaises(ModuleError):
            self.logic.segmentVolume(None, self.folder)
        self.assertFalse(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))

    def test_segmentsAndCorrectsASample(self):
        self.delayDisplay("Segmenting a generated sample")
        sample = samples.SAMPLES[0]
        volumeNode, truth = self.loadSampleAndTruth(sample)
        bank = self.folder / "test.bank"
        arguments = {**samples.bankArguments(sample), **SMALL_BANK, "output": str(bank)}
        self.logic.worker.call("build_sample_bank", arguments)
        results = self.logic.segmentVolume(volumeNode, bank, slices=SLICES)
        self.checkAgainst(truth, results)
        self.checkCorrection(results)

    def loadSampleAndTruth(self, sample):
        """Return the sample's volume node and its true lesions (K, J, I)."""
        worker = self.logic.worker
        answer = worker.call("make_sample", sample.arguments)
        truth = np.load(worker.session.folder / answer["truth"], allow_pickle=False) > 0
        return samples.addSample(sample, worker.session, answer), truth

    def checkAgainst(self, truth, results):
        found = sum(
            anomalySegments.segmentArray(results.segmentation, each, results.inputVolume)
            for each in anomalySegments.ownSegments(results.segmentation).values()
        )
        inside = np.zeros(truth.shape, bool)
        inside[SLICES[0] : SLICES[1]] = True
        found, wanted = np.asarray(found) > 0, truth & inside
        dice = 2 * (found & wanted).sum() / max((found.sum() + wanted.sum()), 1)
        self.delayDisplay(f"Dice {dice:.2f}")
        self.assertGreater(dice, LEAST_DICE)
        hits = []
        for index in range(results.points.GetNumberOfControlPoints()):
            i, j, k = np.round(ijkFromWorld(results.inputVolume, cogPoints.worldPosition(results.points, index)))
            hits.append(bool(truth[int(k), int(j), int(i)]))
        self.assertGreater(np.mean(hits), LEAST_SHARE_IN_LESION, "points lie in lesions")

    def checkCorrection(self, results):
        link = cogPoints.linkOf(results.points, 0)
        segmentID = anomalySegments.ownSegments(results.segmentation)[link.lesion]
        before = segmentVoxels.readSegment(results.segmentation, segmentID, results.inputVolume)
        ijk = ijkFromWorld(results.inputVolume, cogPoints.worldPosition(results.points, 0)) + np.array([3, 2, 0])
        results.points.SetNthControlPointPositionWorld(0, *worldFromIjk(results.inputVolume, ijk))
        self.logic.redecodeSlice(results, link.sliceIndex, link.lesion)
        after = segmentVoxels.readSegment(results.segmentation, segmentID, results.inputVolume)
        changed = np.flatnonzero((before != after).any(axis=(1, 2)))
        self.assertTrue(set(changed) <= {link.sliceIndex})
