"""The radiologist teaches the bank: what is called normal becomes part of it, until that is taken back."""

from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import anomalySegments, banks, runs
from .errors import ModuleError


class TeachingActions:
    """The slots of the buttons that teach; ``actions`` are the PanelActions, which run again after a lesson."""

    def __init__(self, actions):
        self.actions, self.panel, self.jobs, self.state = actions, actions.panel, actions.jobs, actions.state

    def onNormalButton(self):
        """The anomaly of the chosen row is normal."""
        self.actions.guarded(self._teachAnomaly)

    def _teachAnomaly(self):
        results, lesion = self.panel.results, self.panel.table.currentLesion
        segmentID = anomalySegments.ownSegments(results.segmentation).get(lesion)
        if segmentID is None:
            raise ModuleError(_("Choose a row of the results first; its anomaly is called normal."))
        if not runs.runOfRecord(results).bankPath:
            self.panel.corrections.removeLesion(lesion)
            self.state.showStatus(
                _(
                    "Anomaly {number} was taken out of these results; 'Undo' brings it back. There is no memory bank "
                    "to teach, so another run may mark it again."
                ).format(number=lesion)
            )
            return
        name = results.segmentation.GetSegmentation().GetSegment(segmentID).GetName()
        normal = anomalySegments.segmentArray(results.segmentation, segmentID, results.inputVolume)
        self._teach(results, normal, name)

    def onNormalBoxButton(self):
        """What is in a box is normal."""
        results = self.panel.results
        if not runs.runOfRecord(results).bankPath:
            self.state.showStatus(
                _(
                    "These results were made without a memory bank, so there is nothing to teach. Build or import a "
                    "bank and segment with it; 'This is normal' takes an anomaly out of these results."
                )
            )
            return
        self.panel.box.start(
            results, lambda corners: self.actions.guarded(lambda: self._teach(results, boxVoxels(results, corners)))
        )

    def _teach(self, results, normal, name=""):
        if not np.any(normal):
            raise ModuleError(_("Nothing is marked in '{name}' that could be called normal.").format(name=name))
        words = name or _("A box")
        bank = runs.runOfRecord(results).bankPath
        question = _(
            "Teach the bank '{bank}' that this is normal: {words} of '{volume}'? It then counts for every volume that "
            "is compared with this bank. 'Unlearn' takes it back."
        ).format(bank=Path(bank).stem, words=words, volume=results.inputVolume.GetName())
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_("MIAS-SAM")):
            self.jobs.teach(results, normal, words, lambda _answer: self._runAgain(bank), self.actions.onFailure)

    def onUnlearnButton(self):
        """Take back what the bank was taught last."""
        bank = self.panel.parameters.bankPath

        def start():
            self.jobs.start("unteach", {"bank": bank}, lambda _answer: self._runAgain(bank), self.actions.onFailure)

        last = banks.lessons(bank)[-1]
        question = _("Take back what the bank '{bank}' was taught last ({words} of '{volume}', by {by})?").format(
            bank=Path(bank).stem, words=last["words"], volume=last["source"], by=last["by"]
        )
        if slicer.util.confirmOkCancelDisplay(question, windowTitle=_("MIAS-SAM")):
            self.actions.guarded(start)

    def _runAgain(self, bank):
        """Compare again, with the bank as it is now; the slices are encoded already."""
        parameters = self.actions.parameters
        self.state.showBanks(parameters.bankPath)
        self.state.showTeaching(self.panel.results, parameters.bankPath)
        if parameters.bankPath == bank and parameters.inputVolume is not None:
            self.actions.onSegmentButton()


def boxVoxels(results, corners):
    """Return a box on a slice, two corners (i, j, k), as voxels: uint8 (K, J, I)."""
    size = np.array(results.inputVolume.GetImageData().GetDimensions())
    low, high = (np.clip(np.round(corner), 0, size - 1).astype(int) for corner in corners)
    normal = np.zeros(tuple(reversed(size)), np.uint8)
    normal[tuple(slice(a, b + 1) for a, b in zip(low[::-1], high[::-1]))] = 1
    return normal
