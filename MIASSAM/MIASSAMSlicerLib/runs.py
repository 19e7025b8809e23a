"""What is asked of the worker and what is done with its answers; the same for panel and scripts."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import anomalySegments, cogPoints, heatMap, hierarchy
from .errors import ModuleError
from .resultNodes import Results
from .steps import FINAL, runAll
from .volumes import checkVolume, ijkToWorld, modalityOf, volumeKey, voxels

EDITED_CHOICES = ("refuse", "keep", "replace")
MASK_INDEXES = ("1", "2", "3")


@dataclass(frozen=True)
class Run:
    """How a volume is segmented.

    model: {"name", "device", "checkpoint"}; options: those of ``miassam segment``. preset and modality stand in for
    those of the bank where they are given; changes alter single numbers of the preset, as "contrast=flair".
    """

    bankPath: str
    model: dict = field(default_factory=lambda: {"name": "embedded", "device": "auto"})
    options: dict = field(default_factory=dict)
    preset: str = ""
    modality: str = ""
    changes: str = ""

    def arguments(self, key):
        """Return the worker's arguments for this run on an open volume."""
        arguments = {"volume": key, "bank": self.bankPath, "model": self.model, "options": self.options}
        chosen = {"preset": self.preset, "modality": self.modality, "changes": self.changes}
        return {**arguments, **{name: value for name, value in chosen.items() if value}}

    def check(self):
        if not self.bankPath:
            raise ModuleError(_("No memory bank is selected. Choose a bank, or build one from normal volumes."))
        if not (Path(self.bankPath) / "manifest.json").is_file():
            raise ModuleError(
                _("'{path}' is no memory bank. Choose a folder whose name ends in .bank.").format(path=self.bankPath)
            )


def openVolumeSteps(session, volumeNode):
    """Put a volume into the exchange folder, in steps; return the worker's arguments for it."""
    arguments = {
        "key": volumeKey(volumeNode),
        "name": volumeNode.GetName(),
        "ijk_to_ras": ijkToWorld(volumeNode).tolist(),
        "modality": modalityOf(volumeNode),
    }
    name = yield from session.saveArraySteps("volume", voxels(volumeNode))
    return {**arguments, "array": name}


def checkRun(volumeNode, run, editedSegments="refuse"):
    """Refuse what would fail or destroy, before any work is done."""
    if editedSegments not in EDITED_CHOICES:
        raise ModuleError(
            _("editedSegments is '{value}'; choose one of {choices}.").format(
                value=editedSegments, choices=", ".join(EDITED_CHOICES)
            )
        )
    checkVolume(volumeNode)
    run.check()
    results = Results.of(volumeNode)
    if results is not None and editedSegments == "refuse":
        anomalySegments.refuseEdited(results.segmentation, volumeNode)


def applySegmentation(volumeNode, run, session, answer, editedSegments="refuse"):
    """Write an answer into the scene: segmentation, heat map, points, folder. Return the results."""
    return runAll(applySteps(volumeNode, run, session, answer, editedSegments))


def applySteps(volumeNode, run, session, answer, editedSegments="refuse"):
    """Write an answer into the scene in steps; return the results."""
    heat, labels = session.takeArray(answer["heat"]), np.asarray(session.takeArray(answer["labels"]))
    yield
    segmentation = anomalySegments.ensureSegmentation(volumeNode)
    keepEdited = editedSegments != "replace"
    yield from anomalySegments.writeSegmentsSteps(segmentation, volumeNode, labels, keepEdited)
    heatNode = yield from heatMap.writeHeatMapSteps(volumeNode, heat, answer["heat_unit"])
    yield FINAL
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    try:
        results = Results(volumeNode, segmentation, heatNode, cogPoints.ensurePoints(volumeNode))
        cogPoints.writeCogPoints(results.points, volumeNode, answer["slices"], answer["heat_unit"])
        results.record = recordOf(run, answer)
        hierarchy.placeBesideInput(volumeNode, [results.segmentation, results.heat, results.points])
    finally:
        slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    return results


def recordOf(run, answer):
    """Return what is remembered with the results: enough to decode again after the scene was loaded."""
    kept = ("slice_axis", "n_slices", "n_lesions", "heat_unit", "slices", "run", "notes", "device")
    return {**{name: answer[name] for name in kept}, "request": asdict(run)}


def runOfRecord(results):
    """Return the run that made these results."""
    return Run(**results.record["request"])


def redecodeArguments(results, sliceIndex, lesion):
    """Return the worker's arguments to decode one part from its points."""
    ijk, labels = cogPoints.promptsOf(results.points, results.inputVolume, sliceIndex, lesion)
    if 1 not in labels:
        raise ModuleError(
            _("Slice {index} has no point inside lesion {lesion}. Add one.").format(index=sliceIndex, lesion=lesion)
        )
    run = runOfRecord(results)
    arguments = {
        **run.arguments(volumeKey(results.inputVolume)),
        "slice": sliceIndex,
        "points_ijk": ijk,
        "labels": labels,
    }
    return {**arguments, "mask": maskOf(results, sliceIndex, lesion)}


def maskOf(results, sliceIndex, lesion):
    """Return which mask a part is decoded with: the user's, else the one this part was given by the run.

    The mask with the highest predicted IoU would not do: that is mostly the whole organ.
    """
    record = results.record
    wanted = record["request"]["options"].get("mask")
    if wanted in MASK_INDEXES:
        return wanted
    found = [
        (abs(result["index"] - sliceIndex), finding["lesion"] != lesion, finding["mask_index"])
        for result in record["slices"]
        for finding in result["findings"]
        if finding["mask_index"] in MASK_INDEXES
    ]
    return min(found)[2] if found else MASK_INDEXES[-1]


def summaryOf(record):
    """Return in a sentence what was found."""
    found = [result for result in record["slices"] if result["findings"]]
    if not found:
        return _("No anomaly found in {count} slices.").format(count=len(record["slices"]))
    if record["n_lesions"] == 1:
        return _("One anomaly on {found} of {count} slices.").format(found=len(found), count=len(record["slices"]))
    return _("{lesions} anomalies on {found} of {count} slices.").format(
        lesions=record["n_lesions"], found=len(found), count=len(record["slices"])
    )
