"""Results lie in one Subject Hierarchy folder beside the input."""

import slicer
from slicer.i18n import tr as _

FOLDER_ATTRIBUTE = "MIASSAM.Folder"


def _hierarchy():
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)


def itemOf(node):
    """Return the node's item; Slicer's plugins make it, and where they are not running we do."""
    hierarchy = _hierarchy()
    item = hierarchy.GetItemByDataNode(node)
    return item if item else hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)


def placeBesideInput(inputVolume, nodes):
    """Put the nodes into the folder of this input, made once, and return the folder's item."""
    hierarchy = _hierarchy()
    folder = resultFolder(nodes) or hierarchy.CreateFolderItem(
        hierarchy.GetItemParent(itemOf(inputVolume)), _("{name} anomalies").format(name=inputVolume.GetName())
    )
    hierarchy.SetItemAttribute(folder, FOLDER_ATTRIBUTE, "1")
    for node in nodes:
        hierarchy.SetItemParent(itemOf(node), folder)
    return folder


def resultFolder(nodes):
    """Return the folder that already holds one of the nodes, 0 where there is none."""
    hierarchy = _hierarchy()
    for node in nodes:
        parent = hierarchy.GetItemParent(itemOf(node))
        if parent and hierarchy.GetItemAttribute(parent, FOLDER_ATTRIBUTE) == "1":
            return parent
    return 0
