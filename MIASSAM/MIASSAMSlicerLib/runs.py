"""What is asked of the worker and what is done with its answers; the same for panel and scripts."""

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from . import anomalySegments, cogPoints, findingsTable, heatMap, hierarchy
from .errors import ModuleError
from .masks import Region
from .resultNodes import REGION_ROLE, Results, isOnDemand
from .steps import FINAL, runAll
from .volumes import checkVolume, ijkToWorld, modalityOf, volumeKey, voxels

EDITED_CHOICES = ("refuse", "keep", "replace")


@dataclass(frozen=True)
class Run:
    """How a volume is segmented.

    bankPath: folder of a memory bank; with "" the volume is compared with itself.
    model: {"name", "device", "checkpoint"}; options: those of ``miassam segment``. preset and modality stand in
    for those of the bank where they are given; changes alter single numbers of the preset, as "contrast=flair".
    regionSegment: the segment that bounds the search, where the results refer to a region.
    """

    bankPath: str
    model: dict = field(default_factory=lambda: {"name": "embedded", "device": "auto"})
    options: dict = field(default_factory=dict)
    preset: str = ""
    modality: str = ""
    changes: str = ""
    regionSegment: str = ""

    def arguments(self, key):
        """Return the worker's arguments for this run on an open volume."""
        arguments = {"volume": key, "bank": self.bankPath, "model": self.model, "options": self.options}
        chosen = {"preset": self.preset, "modality": self.modality, "changes": self.changes}
        return {**arguments, **{name: value for name, value in chosen.items() if value}}

    def check(self):
        if self.bankPath and not (Path(self.bankPath) / "manifest.json").is_file():
            raise ModuleError(
                _("'{path}' is no memory bank. Choose a folder whose name ends in .bank.").format(path=self.bankPath)
            )


@dataclass(frozen=True)
class Target:
    """What is segmented: a volume, the region that bounds the search, and where the segments go (None: a new node)."""

    volume: object
    region: Region | None = None
    segmentation: object = None

    @classmethod
    def ofResults(cls, results):
        """Return what earlier results were made from."""
        node = results.segmentation.GetNodeReference(REGION_ROLE)
        region = Region(node, results.record["request"].get("regionSegment", "")) if node is not None else None
        return cls(results.inputVolume, region, results.segmentation)

    @property
    def key(self):
        """Name these voxels, their place and the region; it changes when one of them does."""
        return volumeKey(self.volume) + (f"-{self.region.key}" if self.region is not None else "")


def openVolumeSteps(session, target):
    """Put a volume and its region into the exchange folder, in steps; return the worker's arguments for them."""
    volumeNode = target.volume
    arguments = {
        "key": target.key,
        "name": volumeNode.GetName(),
        "ijk_to_ras": ijkToWorld(volumeNode).tolist(),
        "modality": modalityOf(volumeNode),
    }
    region = None
    if target.region is not None:
        marked = target.region.voxels(volumeNode)
        yield
        region = yield from session.saveArraySteps("region", marked)
    name = yield from session.saveArraySteps("volume", voxels(volumeNode))
    return {**arguments, "array": name, **({"region": region} if region else {})}


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


def applySegmentation(target, run, session, answer, editedSegments="refuse"):
    """Write an answer into the scene: segmentation, heat map, points, table, folder. Return the results."""
    return runAll(applySteps(target, run, session, answer, editedSegments))


def applySteps(target, run, session, answer, editedSegments="refuse"):
    """Write an answer into the scene in steps; return the results."""
    volumeNode = target.volume
    heat, labels = session.takeArray(answer["heat"]), np.asarray(session.takeArray(answer["labels"]))
    yield
    segmentation = anomalySegments.ensureSegmentation(volumeNode, target.segmentation)
    keepEdited = editedSegments != "replace"
    yield from anomalySegments.writeSegmentsSteps(segmentation, volumeNode, labels, keepEdited)
    heatNode = yield from heatMap.writeHeatMapSteps(volumeNode, heat, answer["heat_unit"])
    yield FINAL
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    try:
        results = Results(volumeNode, segmentation, heatNode, cogPoints.ensurePoints(volumeNode))
        cogPoints.writeCogPoints(results.points, volumeNode, answer["slices"], answer["heat_unit"])
        results.record = recordOf(run, answer)
        segmentation.SetNodeReferenceID(REGION_ROLE, target.region.node.GetID() if target.region else None)
        findingsTable.writeTable(results)
        hierarchy.placeBesideInput(volumeNode, [segmentation, results.heat, results.points, results.table])
    finally:
        slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    return results


def resultsOnDemand(target, run, answer):
    """Return results without a search, empty until the user points; answer: the worker's to the opened volume."""
    volumeNode = target.volume
    slicer.mrmlScene.StartState(slicer.mrmlScene.BatchProcessState)
    try:
        segmentation = anomalySegments.ensureSegmentation(volumeNode, target.segmentation)
        results = Results(volumeNode, segmentation, None, cogPoints.ensurePoints(volumeNode))
        nothing = {"n_slices": 0, "n_lesions": 0, "heat_unit": "", "slices": [], "run": {}, "notes": [], "device": ""}
        results.record = recordOf(run, {**nothing, "slice_axis": answer["slice_axis"]})
        findingsTable.writeTable(results)
        hierarchy.placeBesideInput(volumeNode, [segmentation, results.points, results.table])
    finally:
        slicer.mrmlScene.EndState(slicer.mrmlScene.BatchProcessState)
    return results


def recordOf(run, answer):
    """Return what is remembered with the results: enough to decode again after the scene was loaded."""
    kept = ("slice_axis", "n_slices", "n_lesions", "heat_unit", "slices", "run", "notes", "device")
    return {**{name: answer[name] for name in kept}, "request": asdict(run)}


def withFinding(record, sliceIndex, lesion, answer):
    """Return a record in which one part is what the worker answered; None: the slice has no such part."""
    kept = {} if answer is None else {name: answer[name] for name in ("cog_ijk", "score", "area_mm2")}
    slices, hasSlice = [], False
    for each in record["slices"]:
        if each["index"] == sliceIndex:
            hasSlice = True
            old = [one for one in each["findings"] if one["lesion"] == lesion]
            others = [one for one in each["findings"] if one["lesion"] != lesion]
            new = [{**(old[0] if old else {}), "lesion": lesion, **kept}] if kept else []
            each = {**each, "findings": [*others, *new]}
        slices.append(each)
    if kept and not hasSlice:  # nothing was searched for
        slices.append({"index": sliceIndex, "findings": [{"lesion": lesion, **kept}]})
    return {**record, "slices": slices}


def runOfRecord(results):
    """Return the run that made these results."""
    return Run(**results.record["request"])


def redecodeArguments(results, sliceIndex, lesion, boxIjk=None):
    """Return the worker's arguments to decode one part from its points, or from a box given by two corners.

    The options are those of the run, so that points that have not moved give the outline that the run gave.
    """
    ijk, labels = cogPoints.promptsOf(results.points, results.inputVolume, sliceIndex, lesion)
    if boxIjk is not None:  # a box says all that is known of the part
        ijk, labels = [], []
    elif 1 not in labels:
        raise ModuleError(
            _("Slice {index} has no point inside lesion {lesion}. Add one.").format(index=sliceIndex, lesion=lesion)
        )
    run = runOfRecord(results)
    arguments = {
        **run.arguments(Target.ofResults(results).key),
        "slice": sliceIndex,
        "points_ijk": ijk,
        "labels": labels,
        "searched": not results.isOnDemand,
    }
    if boxIjk is not None:
        arguments = {**arguments, "box_ijk": [list(map(float, corner)) for corner in boxIjk]}
    return arguments


def teachSteps(session, results, key, normal, words):
    """Put what is normal into the exchange folder; return the worker's arguments to teach the bank of the run."""
    name = yield from session.saveArraySteps("normal", normal)
    return {**runOfRecord(results).arguments(key), "normal": name, "words": words}


def summaryOf(record):
    """Return in a sentence what was found."""
    if isOnDemand(record):
        return _("Nothing was searched for; what you point at is outlined.")
    found = [result for result in record["slices"] if result["findings"]]
    if not found:
        return _("No anomaly found in {count} slices.").format(count=len(record["slices"]))
    if record["n_lesions"] == 1:
        return _("One anomaly on {found} of {count} slices.").format(found=len(found), count=len(record["slices"]))
    return _("{lesions} anomalies on {found} of {count} slices.").format(
        lesions=record["n_lesions"], found=len(found), count=len(record["slices"])
    )
