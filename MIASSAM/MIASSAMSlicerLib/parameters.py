"""The module's parameters, kept in the scene and bound to the panel's widgets."""

import enum
from typing import Annotated

from slicer import vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper


class ModelChoice(enum.Enum):
    """The encoder and decoder; values are the library's names."""

    Embedded = "embedded"
    VitB = "vit_b"
    VitL = "vit_l"
    VitH = "vit_h"
    CheckpointFile = "auto"

    def label(self):
        return {
            ModelChoice.Embedded: _("Embedded (small, no download)"),
            ModelChoice.VitB: _("SAM ViT-B (375 MB)"),
            ModelChoice.VitL: _("SAM ViT-L (1.3 GB)"),
            ModelChoice.VitH: _("SAM ViT-H (2.6 GB)"),
            ModelChoice.CheckpointFile: _("Checkpoint file..."),
        }[self]


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
    bankPath - folder of the memory bank of normal anatomy.
    heatOpacity - how much of the heat map is blended over the image.
    mask, prompt - which mask and which prompt; can be changed after a run without encoding again.
    sensitivity - share of normal volumes that may get any mark (calibrated banks).
    allSlices - segment every slice, as the paper does, even where nothing is unusual.
    addOutsidePoints - a point that is added says "not this" instead of "this".
    """

    inputVolume: vtkMRMLScalarVolumeNode
    model: ModelChoice = ModelChoice.Embedded
    checkpointPath: str = ""
    device: DeviceChoice = DeviceChoice.Auto
    bankPath: str = ""
    heatOpacity: Annotated[float, WithinRange(0, 1)] = 0.5
    mask: MaskChoice = MaskChoice.Preset
    prompt: PromptChoice = PromptChoice.Preset
    sensitivity: Annotated[float, WithinRange(0.001, 0.5)] = 0.05
    allSlices: bool = False
    addOutsidePoints: bool = False


def modelOf(parameters):
    """Return the model as the worker is told."""
    wanted = {"name": parameters.model.value, "device": parameters.device.value}
    if parameters.model is ModelChoice.CheckpointFile:
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
