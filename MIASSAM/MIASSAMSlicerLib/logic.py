"""MIASSAMLogic: the whole pipeline on MRML nodes, for scripts; no dialogs and no widgets."""

from pathlib import Path

from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from . import anomalySegments, runs
from .errors import ModuleError
from .exclusionMasks import excludedVoxels
from .parameters import MIASSAMParameterNode
from .resultNodes import Results
from .runs import Run
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
        self._openKeys = {}

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
        progress=None,
        log=None,
        **options,
    ):
        """Segment a volume and return its `Results` (segmentation, heat, points nodes).

        bank: folder of a memory bank. options: prompt, mask, all_slices, sensitivity, slices.
        changes: to the preset's numbers, such as "contrast=flair,axis_sigma_mm=5".
        editedSegments: "refuse" raises when the user edited a segment of an earlier run, "keep" keeps it
        beside the new ones, "replace" replaces it.
        progress(stage, done, total) may raise RunCancelled to stop; log(text) takes notices.
        """
        run = Run(str(bank), modelArgument(model, device, checkpoint), options, preset, modality, changes)
        runs.checkRun(inputVolume, run, editedSegments)
        key = self._open(inputVolume)
        answer = self.worker.call("segment", run.arguments(key), progress, log)
        return runs.applySegmentation(inputVolume, run, self.worker.session, answer, editedSegments)

    def redecodeSlice(self, results, sliceIndex, lesion=1, progress=None):
        """Decode one part of one slice again from its points; only that part of its segment changes."""
        self._open(results.inputVolume)
        answer = self.worker.call("redecode", runs.redecodeArguments(results, sliceIndex, lesion), progress)
        thin = self.worker.session.takeArray(answer["mask"])
        own = anomalySegments.ownSegments(results.segmentation)
        segmentID = own.get(lesion) or anomalySegments.addLesionSegment(results.segmentation, lesion)
        anomalySegments.replaceSlicePart(
            results.segmentation, segmentID, results.inputVolume, results.sliceAxis, sliceIndex, thin
        )
        return answer

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

    def _open(self, volumeNode):
        """Send a volume to the worker unless it has it already."""
        session = self.worker.session
        if self._openKeys.get("session") is not session:
            self._openKeys = {"session": session}
        key = runs.volumeKey(volumeNode)
        if self._openKeys.get(volumeNode.GetID()) != key:
            old = self._openKeys.get(volumeNode.GetID())
            if old:
                self.worker.call("close_volume", {"key": old})
            arguments = runAll(runs.openVolumeSteps(session, volumeNode))
            try:
                self.worker.call("open_volume", arguments)
            finally:
                (session.folder / arguments["array"]).unlink(missing_ok=True)
            self._openKeys[volumeNode.GetID()] = key
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
        marked = excludedVoxels(maskNode, volumeNode)
        yield
        data["exclude_mask"] = yield from session.saveArraySteps(f"excludeMask{number}", marked)
    return data
