"""The module's parameters, kept in the scene and bound to the panel's widgets."""

import enum
from typing import Annotated

from MIASSAMLib.sam.registry import MODELS
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from .masks import Region


class _Model(enum.Enum):
    @property
    def entry(self):
        """This model in the library's table."""
        return MODELS[self.value]

    @property
    def needsFile(self):
        """Its weights are in a file that the user names."""
        return not self.entry.is_shipped and not self.entry.is_downloadable

    def label(self):
        return f"{self.entry.words} ({self.entry.about})" if self.entry.is_downloadable else self.entry.words


ModelChoice = _Model("ModelChoice", {name.title().replace("_", ""): name for name in MODELS})
"""The encoder and decoder: every model of the library's table; values are its names."""


class DeviceChoice(enum.Enum):
    Auto = "auto"
    Cpu = "cpu"
    Cuda = "cuda"
    Mps = "mps"

    def label(self):
        return {
            DeviceChoice.Auto: _("Automatic"),
            DeviceChoice.Cpu: _("CPU"),
            DeviceChoice.Cuda: _("NVIDIA GPU"),
            DeviceChoice.Mps: _("Apple GPU"),
        }[self]


class MaskChoice(enum.Enum):
    """Which of SAM's three masks is taken; "" leaves it to the bank's preset."""

    Preset = ""
    Whole = "1"
    Part = "2"
    SubPart = "3"
    Auto = "auto"

    def label(self):
        return {
            MaskChoice.Preset: _("As the memory bank says"),
            MaskChoice.Whole: _("1: whole"),
            MaskChoice.Part: _("2: part"),
            MaskChoice.SubPart: _("3: sub-part (paper)"),
            MaskChoice.Auto: _("Automatic"),
        }[self]


class PromptChoice(enum.Enum):
    Preset = ""
    Cog = "cog"
    Maximum = "max"
    Box = "box"

    def label(self):
        return {
            PromptChoice.Preset: _("As the memory bank says"),
            PromptChoice.Cog: _("Center of gravity (paper)"),
            PromptChoice.Maximum: _("Maximum"),
            PromptChoice.Box: _("Box"),
        }[self]


@parameterNodeWrapper
class MIASSAMParameterNode:
    """
    inputVolume - the volume to segment, as loaded.
    model, checkpointPath, device - what encodes and decodes, and where.
    bankPath - folder of the memory bank of normal anatomy; "" compares the volume with itself.
    heatOpacity - how much of the heat map is blended over the image.
    mask, prompt - which mask and which prompt; can be changed after a run without encoding again.
    sensitivity - share of normal volumes that may get any mark (calibrated banks).
    allSlices - segment every slice, as the paper does, even where nothing is unusual.
    outputSegmentation - where the segments go; none makes a segmentation for this volume.
    regionSegment - the segment that bounds the search, of the segmentation chosen as region.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: ModelChoice = ModelChoice("embedded")
    checkpointPath: str = ""
    device: DeviceChoice = DeviceChoice.Auto
    bankPath: str = ""
    heatOpacity: Annotated[float, WithinRange(0, 1)] = 0.5
    mask: MaskChoice = MaskChoice.Preset
    prompt: PromptChoice = PromptChoice.Preset
    sensitivity: Annotated[float, WithinRange(0.001, 0.5)] = 0.05
    allSlices: bool = False
    outputSegmentation: vtkMRMLSegmentationNode
    regionSegment: str = ""


REGION_ROLE = "region"
"""Reference of the parameter node to the region, which may be of either of two classes."""


def regionOf(parameters):
    """Return the region that bounds the search, None where the whole volume is searched."""
    node = parameters.parameterNode.GetNodeReference(REGION_ROLE)
    return Region(node, parameters.regionSegment) if node is not None else None


def setRegionNode(parameters, node):
    """Choose a segmentation or label map as region, or None; its segments are chosen anew."""
    if parameters.parameterNode.GetNodeReference(REGION_ROLE) is not node:
        parameters.regionSegment = ""
        parameters.parameterNode.SetNodeReferenceID(REGION_ROLE, node.GetID() if node is not None else None)


def modelOf(parameters):
    """Return the model as the worker is told."""
    wanted = {"name": parameters.model.value, "device": parameters.device.value}
    if parameters.model.needsFile:
        wanted["checkpoint"] = parameters.checkpointPath
    return wanted


def optionsOf(parameters):
    """Return the run options as the worker is told."""
    options = {"all_slices": parameters.allSlices, "sensitivity": parameters.sensitivity}
    if parameters.mask.value:
        options["mask"] = parameters.mask.value
    if parameters.prompt.value:
        options["prompt"] = parameters.prompt.value
    return options


def connectGui(parameters, ui):
    """Connect parameters with widgets; return what disconnects them.

    Slicer 5.10 leaves an observer of its own on the node, which outlives the panel and can crash the application.
    """
    node, left = parameters.parameterNode, []

    def observe(event, callback, priority=0.0):
        left.append(node.AddObserver(event, callback, priority))
        return left[-1]

    parameters.AddObserver = observe
    try:
        tag = parameters.connectGui(ui)
    finally:
        del parameters.AddObserver

    def disconnect():
        parameters.disconnectGui(tag)
        for each in left:
            node.RemoveObserver(each)

    return disconnect
