"""The nodes of a result, how they are found again, and what is remembered with them."""

import json

import slicer

RESULT_ATTRIBUTE = "MIASSAM.Result"
RECORD_ATTRIBUTE = "MIASSAM.Record"
INPUT_ROLE = "MIASSAM.Input"
REGION_ROLE = "MIASSAM.Region"
HEAT, SEGMENTATION, POINTS, TABLE = "heat", "segmentation", "points", "table"
NODE_CLASSES = {
    HEAT: "vtkMRMLScalarVolumeNode",
    SEGMENTATION: "vtkMRMLSegmentationNode",
    POINTS: "vtkMRMLMarkupsFiducialNode",
    TABLE: "vtkMRMLTableNode",
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


def claimSegmentation(inputVolume, chosen):
    """Make a segmentation that the user has chosen the one of this input; the earlier one stays, as the user's own."""
    earlier = findResultNode(inputVolume, SEGMENTATION)
    if earlier is not None and earlier is not chosen:
        earlier.RemoveAttribute(RESULT_ATTRIBUTE)
    chosen.SetAttribute(RESULT_ATTRIBUTE, SEGMENTATION)
    chosen.SetNodeReferenceID(INPUT_ROLE, inputVolume.GetID())


def followTransform(node, inputVolume):
    """Put a result under the input's own transform."""
    node.SetAndObserveTransformNodeID(inputVolume.GetTransformNodeID())


def isOnDemand(record):
    """Tell whether a record says that nothing was searched for."""
    return record.get("request", {}).get("bankPath") == "" and not record.get("heat_unit")


class Results:
    """The nodes of one input volume and the record of the run that made them."""

    def __init__(self, inputVolume, segmentation=None, heat=None, points=None, table=None):
        self.inputVolume, self.segmentation, self.heat, self.points = inputVolume, segmentation, heat, points
        self.table = table
        self._recordText, self._record = "", {}

    @classmethod
    def of(cls, inputVolume):
        """Find the results of an input, also after a scene was loaded; None where there are none."""
        if inputVolume is None:
            return None
        nodes = {kind: findResultNode(inputVolume, kind) for kind in NODE_CLASSES}
        if nodes[SEGMENTATION] is None:
            return None
        return cls(inputVolume, nodes[SEGMENTATION], nodes[HEAT], nodes[POINTS], nodes[TABLE])

    @property
    def record(self):
        """What the run was made with and found: a dictionary, not to be changed; it is read once."""
        text = self.segmentation.GetAttribute(RECORD_ATTRIBUTE) or "{}"
        if text != self._recordText:
            self._recordText, self._record = text, json.loads(text)
        return self._record

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
        return None not in (self.segmentation, self.points) and (self.heat is not None or self.isOnDemand)

    @property
    def isOnDemand(self):
        """Tell whether there was no search, and so no heat map: only what the user points at is outlined."""
        return isOnDemand(self.record)
