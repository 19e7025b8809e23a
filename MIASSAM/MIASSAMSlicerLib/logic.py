"""MIASSAMLogic: the whole pipeline on MRML nodes, for scripts; no dialogs and no widgets."""

from pathlib import Path

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from . import anomalySegments, runs
from .errors import ModuleError
from .masks import Region, markedVoxels
from .parameters import MIASSAMParameterNode
from .resultNodes import Results
from .runs import Run, Target
from .steps import runAll
from .volumes import checkVolume, ijkToWorld, voxels
from .workerBlocking import BlockingWorker


class MIASSAMLogic(ScriptedLoadableModuleLogic):
    """Segments volumes of the scene against a memory bank of normal anatomy.

    The work is done by a child process that stays warm until ``close`` is called.
    """

    def __init__(self, worker=None):
        ScriptedLoadableModuleLogic.__init__(self)
        self.worker = worker if worker is not None else BlockingWorker()
        self._openKeys, self._answers = {}, {}

    def getParameterNode(self):
        return MIASSAMParameterNode(super().getParameterNode())

    def close(self):
        """End the child process."""
        self.worker.close()
        self._openKeys = {}

    def segmentVolume(
        self,
        inputVolume,
        bank,
        model="embedded",
        device="auto",
        checkpoint="",
        editedSegments="refuse",
        preset="",
        modality="",
        changes="",
        region=None,
        regionSegment="",
        segmentation=None,
        progress=None,
        log=None,
        **options,
    ):
        """Segment a volume and return its `Results` (segmentation, heat, points, table nodes).

        bank: folder of a memory bank. region: segmentation or label map that bounds the search,
        regionSegment: one segment of it. segmentation: where the segments go; None makes a node.
        options: prompt, mask, all_slices, sensitivity, slices.
        changes: to the preset's numbers, such as "contrast=flair,axis_sigma_mm=5".
        editedSegments: "refuse" raises when the user edited a segment of an earlier run, "keep" keeps it
        beside the new ones, "replace" replaces it.
        progress(stage, done, total) may raise RunCancelled to stop; log(text) takes notices.
        """
        wanted = modelArgument(model, device, checkpoint)
        run = Run(str(bank or ""), wanted, options, preset, modality, changes, regionSegment)
        runs.checkRun(inputVolume, run, editedSegments)
        target = Target(inputVolume, Region(region, regionSegment) if region is not None else None, segmentation)
        key = self._open(target)
        answer = self.worker.call("segment", run.arguments(key), progress, log)
        return runs.applySegmentation(target, run, self.worker.session, answer, editedSegments)

    def resultsOnDemand(self, inputVolume, model="embedded", device="auto", checkpoint="", preset="", **options):
        """Return empty `Results` of a volume, without a bank: `redecodeSlice` outlines what their points mark.

        preset: "refined" (also "") or "paper". options: mask, prompt.
        """
        checkVolume(inputVolume)
        run = Run("", modelArgument(model, device, checkpoint), options, preset)
        target = Target(inputVolume)
        self._open(target)
        return runs.resultsOnDemand(target, run, self._answers[target.key])

    def redecodeSlice(self, results, sliceIndex, lesion=1, progress=None):
        """Decode one part of one slice again from its points; only that part of its segment changes."""
        self._open(Target.ofResults(results))
        answer = self.worker.call("redecode", runs.redecodeArguments(results, sliceIndex, lesion), progress)
        thin = self.worker.session.takeArray(answer["mask"])
        own = anomalySegments.ownSegments(results.segmentation)
        segmentID = own.get(lesion) or anomalySegments.addLesionSegment(results.segmentation, lesion)
        anomalySegments.replaceSlicePart(
            results.segmentation, segmentID, results.inputVolume, results.sliceAxis, sliceIndex, thin
        )
        return answer

    def teachNormal(self, results, normal, words=""):
        """Teach the bank of these results that a part of their volume, uint8 (K, J, I), is normal."""
        key = self._open(Target.ofResults(results))
        arguments = runAll(runs.teachSteps(self.worker.session, results, key, normal, words))
        try:
            return self.worker.call("teach_normal", arguments)
        finally:
            (self.worker.session.folder / arguments["normal"]).unlink(missing_ok=True)

    def unteach(self, bank):
        """Take back what a bank was taught last, and return it."""
        return self.worker.call("unteach", {"bank": str(bank)})

    def buildMemoryBank(
        self,
        volumes,
        output,
        model="embedded",
        device="auto",
        checkpoint="",
        excludeMasks=None,
        progress=None,
        log=None,
        **options,
    ):
        """Build a memory bank from volumes of normal anatomy and return what it says about itself.

        output: folder to make, NAME.bank. excludeMasks: volume node -> segmentation or label map; the slices it
        marks are left out. options: preset, modality, anatomy, axis, overwrite.
        """
        wanted = modelArgument(model, device, checkpoint)
        steps = bankSteps(self.worker.session, volumes, output, wanted, excludeMasks or {}, options)
        arguments = runAll(steps)
        return self.worker.call("build_bank", arguments, progress, log)

    def bankInfo(self, bank, verify=False):
        """Return what a bank says about itself; with verify also what is damaged."""
        return self.worker.call("bank_info", {"path": str(bank), "verify": verify})

    def resultsOf(self, inputVolume):
        """Return the results of an input volume, also after a scene was loaded."""
        return Results.of(inputVolume)

    def _open(self, target):
        """Send a volume to the worker unless it has it already."""
        session, volumeID = self.worker.session, target.volume.GetID()
        if self._openKeys.get("session") is not session:
            self._openKeys = {"session": session}
        key = target.key
        if self._openKeys.get(volumeID) != key:
            old = self._openKeys.get(volumeID)
            if old:
                self.worker.call("close_volume", {"key": old})
            arguments = runAll(runs.openVolumeSteps(session, target))
            try:
                answer = self.worker.call("open_volume", arguments)
            finally:
                for name in ("array", "region"):
                    (session.folder / arguments.get(name, "none")).unlink(missing_ok=True)
            self._openKeys[volumeID], self._answers[key] = key, answer
        return key


def modelArgument(model, device, checkpoint):
    """Return the model as the worker is told."""
    wanted = {"name": model, "device": device}
    return {**wanted, "checkpoint": str(checkpoint)} if checkpoint else wanted


def bankSteps(session, volumes, output, model, excludeMasks, options):
    """Put the volumes into the exchange folder, in steps; return the worker's arguments for a build."""
    folder = Path(output)
    if not volumes:
        raise ModuleError(_("No volume was chosen. A memory bank is built from one or more normal volumes."))
    if folder.suffix != ".bank":
        raise ModuleError(
            _("'{path}' is no name for a memory bank. Take a folder name that ends in .bank.").format(path=folder)
        )
    sent = []
    for number, volumeNode in enumerate(volumes):
        sent.append((yield from _normalVolumeSteps(session, number, volumeNode, excludeMasks.get(volumeNode))))
    return {"output": str(folder), "model": model, **options, "volumes": sent}


def _normalVolumeSteps(session, number, volumeNode, maskNode):
    checkVolume(volumeNode)
    data = {"name": volumeNode.GetName(), "ijk_to_ras": ijkToWorld(volumeNode).tolist()}
    data["array"] = yield from session.saveArraySteps(f"normal{number}", voxels(volumeNode))
    if maskNode is not None:
        marked = markedVoxels(maskNode, volumeNode)
        yield
        data["exclude_mask"] = yield from session.saveArraySteps(f"excludeMask{number}", marked)
    return data
