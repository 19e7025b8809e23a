"""All frames of a volume sequence, one after the other: the results become sequences that follow the frame shown."""

import slicer
from slicer.i18n import tr as _

from .errors import ModuleError
from .resultNodes import Results
from .runs import Target


def browserOf(volumeNode):
    """Return the sequence browser that shows its frames in this volume; None for an ordinary volume."""
    if volumeNode is None or not hasattr(slicer.modules, "sequences"):
        return None
    browser = slicer.modules.sequences.logic().GetFirstBrowserNodeForProxyNode(volumeNode)
    return browser if browser is not None and browser.GetNumberOfItems() > 1 else None


class FrameRun:
    """Segments each frame of a sequence in its proxy volume.

    segment(target, onResults, onFailure) segments a volume; onDone(summary text) and onFailure(error) end it.
    """

    def __init__(self, volumeNode, segment, onDone, onFailure):
        self._volume, self._browser = volumeNode, browserOf(volumeNode)
        self._segment, self._onDone, self._onFailure = segment, onDone, onFailure
        self._master = self._browser.GetMasterSequenceNode()
        self._frames, self._counts = {}, []

    def start(self):
        """Begin with the first frame; earlier results of this volume are replaced."""
        if Results.of(self._volume) is not None:
            raise ModuleError(
                _("'{name}' has results already. Delete them first: each frame gets its own.").format(
                    name=self._volume.GetName()
                )
            )
        self._next()

    def _next(self):
        frame = len(self._counts)
        if frame == self._browser.GetNumberOfItems():
            self._finish()
            return
        self._browser.SetSelectedItemNumber(frame)
        self._segment(Target(self._volume), self._onFrame, self._stop)

    def _onFrame(self, results):
        frame = len(self._counts)
        index = self._master.GetNthIndexValue(frame)
        for node in (results.segmentation, results.heat, results.points, results.table):
            self._sequenceOf(node).SetDataNodeAtValue(node, index)
        self._counts.append(results.record["n_lesions"])
        self._next()

    def _sequenceOf(self, node):
        """Return the sequence of a kind of result, made with its first frame."""
        if node.GetID() not in self._frames:
            sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", _frameName(node))
            sequence.SetIndexName(self._master.GetIndexName())
            sequence.SetIndexUnit(self._master.GetIndexUnit())
            sequence.SetIndexType(self._master.GetIndexType())
            self._frames[node.GetID()] = sequence
        return self._frames[node.GetID()]

    def _finish(self):
        """Let the results follow the frame that is shown; those of the last frame alone are no longer needed."""
        for nodeID, sequence in self._frames.items():
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            self._browser.AddProxyNode(node, sequence, True)
            proxy = self._browser.GetProxyNode(sequence)
            if proxy.IsA("vtkMRMLTransformableNode"):
                proxy.SetAndObserveTransformNodeID(self._volume.GetTransformNodeID())
            slicer.mrmlScene.RemoveNode(node)
        self._browser.SetSelectedItemNumber(0)
        found = [str(frame) for frame, count in enumerate(self._counts) if count]
        self._onDone(
            _("{count} frames were segmented; anomalies in frames: {found}.").format(
                count=len(self._counts), found=", ".join(found) or _("none")
            )
        )

    def _stop(self, error):
        for sequence in self._frames.values():
            slicer.mrmlScene.RemoveNode(sequence)
        self._onFailure(error)


def _frameName(node):
    return _("{name}, all frames").format(name=node.GetName())
