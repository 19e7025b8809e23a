"""The file reading and writing that ``slicer.util`` asks of the application, on the real module logics."""

import os

import slicer

FILE_TYPES = {
    ".nrrd": "VolumeFile",
    ".nhdr": "VolumeFile",
    ".nii": "VolumeFile",
    ".nii.gz": "VolumeFile",
    ".mha": "VolumeFile",
    ".seg.nrrd": "SegmentationFile",
    ".mrk.json": "MarkupsFile",
    ".h5": "TransformFile",
    ".tfm": "TransformFile",
    ".mrml": "SceneFile",
    ".mrb": "SceneFile",
    ".ctbl": "ColorTableFile",
}


def _loadVolume(path, properties, _messages):
    options = int(bool(properties.get("labelmap"))) | (8 if properties.get("singleFile") else 0)
    name = properties.get("name") or os.path.basename(path).split(".")[0]
    return slicer.modules.volumes.logic().AddArchetypeVolume(path, name, options)


def _loadSegmentation(path, properties, _messages):
    return slicer.modules.segmentations.logic().LoadSegmentationFromFile(path, True, properties.get("name") or "")


def _loadMarkups(path, properties, messages):
    nodeID = slicer.modules.markups.logic().LoadMarkups(path, properties.get("name") or None, messages)
    return slicer.mrmlScene.GetNodeByID(nodeID) if nodeID else None


def _loadTransform(path, _properties, _messages):
    return slicer.modules.transforms.logic().AddTransform(path, slicer.mrmlScene)


def _loadColors(path, properties, _messages):
    return slicer.modules.colors.logic().LoadColorFile(path, properties.get("name") or "")


READERS = {
    "VolumeFile": _loadVolume,
    "SegmentationFile": _loadSegmentation,
    "MarkupsFile": _loadMarkups,
    "TransformFile": _loadTransform,
    "ColorTableFile": _loadColors,
}


class CoreIOManager:
    """What ``slicer.util`` calls of ``qSlicerCoreIOManager``."""

    def fileType(self, path):
        lowered = str(path).lower()
        matching = [ending for ending in FILE_TYPES if lowered.endswith(ending)]
        return FILE_TYPES[max(matching, key=len)] if matching else "NoFile"

    def fileWriterFileType(self, _node):
        return "auto"

    def loadNodes(self, fileType, properties, collection=None, messages=None):
        path = properties["fileName"]
        if fileType == "SceneFile":
            return self._loadScene(path, bool(properties.get("clear")), messages)
        node = READERS[fileType](path, properties, messages) if fileType in READERS else None
        if node is not None and collection is not None:
            collection.AddItem(node)
        return node is not None

    @staticmethod
    def _loadScene(path, clears, messages):
        scene = slicer.mrmlScene
        if path.endswith(".mrb"):
            return bool(scene.ReadFromMRB(path, clears, messages))
        scene.SetURL(path)
        return bool(scene.Connect(messages) if clears else scene.Import(messages))

    def saveNodes(self, fileType, properties, messages=None):
        scene, path = slicer.mrmlScene, str(properties["fileName"])
        if fileType != "SceneFile":
            return self._saveNode(scene.GetNodeByID(properties["nodeID"]), path, properties)
        if path.endswith(".mrb"):
            return bool(scene.WriteToMRB(path, None, messages))
        scene.SetURL(path)
        return bool(scene.Commit(path, messages))

    @staticmethod
    def _saveNode(node, path, properties):
        if node.GetStorageNode() is None:
            node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        if "useCompression" in properties:
            storage.SetUseCompression(int(properties["useCompression"]))
        return bool(storage.WriteData(node))
