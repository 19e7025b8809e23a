"""The nodes of a result, how they are found again, and what is remembered with them."""

import json

import slicer

RESULT_ATTRIBUTE = "MIASSAM.Result"
RECORD_ATTRIBUTE = "MIASSAM.Record"
INPUT_ROLE = "MIASSAM.Input"
HEAT, SEGMENTATION, POINTS = "heat", "segmentation", "points"
NODE_CLASSES = {
    HEAT: "vtkMRMLScalarVolumeNode",
    SEGMENTATION: "vtkMRMLSegmentationNode",
    POINTS: "vtkMRMLMarkupsFiducialNode",
}


def findResultNode(inputVolume, kind):
    """Return the node of this kind that belongs to the input, or None."""
    for node in slicer.util.getNodesByClass(NODE_CLASSES[kind]):
        if node.GetAttribute(RESULT_ATTRIBUTE) == kind and node.GetNodeReference(INPUT_ROLE) is inputVolume:
            return node
    return None


def ensureResultNode(inputVolume, kind, name):
    """Return the node of this kind that belongs to the input; make it where there is none."""
    node = findResultNode(inputVolume, kind)
    if node is None:
        node = slicer.mrmlScene.AddNewNodeByClass(NODE_CLASSES[kind], name)
        node.SetAttribute(RESULT_ATTRIBUTE, kind)
        node.SetNodeReferenceID(INPUT_ROLE, inputVolume.GetID())
    return node


def followTransform(node, inputVolume):
    """Put a result under the input's own transform."""
    node.SetAndObserveTransformNodeID(inputVolume.GetTransformNodeID())


class Results:
    """The three nodes of one input volume and the record of the run that made them."""

    def __init__(self, inputVolume, segmentation=None, heat=None, points=None):
        self.inputVolume, self.segmentation, self.heat, self.points = inputVolume, segmentation, heat, points

    @classmethod
    def of(cls, inputVolume):
        """Find the results of an input, also after a scene was loaded; None where there are none."""
        if inputVolume is None:
            return None
        nodes = {kind: findResultNode(inputVolume, kind) for kind in NODE_CLASSES}
        if nodes[SEGMENTATION] is None:
            return None
        return cls(inputVolume, nodes[SEGMENTATION], nodes[HEAT], nodes[POINTS])

    @property
    def record(self):
        """What the run was made with and found: a dictionary."""
        return json.loads(self.segmentation.GetAttribute(RECORD_ATTRIBUTE) or "{}")

    @record.setter
    def record(self, data):
        self.segmentation.SetAttribute(RECORD_ATTRIBUTE, json.dumps(data, separators=(",", ":")))

    @property
    def sliceAxis(self):
        """Storage axis the volume is cut along: 0, 1, 2 for i, j, k."""
        return int(self.record["slice_axis"])

    @property
    def isComplete(self):
        """Tell whether every node is still there; the user may have deleted one."""
        return None not in (self.segmentation, self.heat, self.points)
