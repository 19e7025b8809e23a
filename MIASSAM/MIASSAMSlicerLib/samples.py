"""Sample volumes with known lesions and the memory banks that fit them; generated, not downloaded."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from MIASSAMLib import __file__ as libraryFile
from MIASSAMLib import __version__ as libraryVersion
from slicer.i18n import tr as _

from . import banks

SOFT_TISSUE_WINDOW = (350, 50)
"""Width and level in HU."""
EMBEDDED_CARD = Path(libraryFile).parent / "sam" / "embedded" / "weights" / "embedded.json"
EMBEDDED = {"name": "embedded", "device": "auto"}


@dataclass(frozen=True)
class Sample:
    """One sample: a kind of phantom, the seed of the patient and how many lesions it has."""

    name: str
    kind: str
    seed: int
    nLesions: int
    bankName: str

    @property
    def arguments(self):
        return {"kind": self.kind, "seed": self.seed, "n_lesions": self.nLesions}

    @property
    def bankPath(self):
        return banks.bankFolder() / f"{self.bankName}.bank"


SAMPLES = (
    Sample("MIASSAMBrain", "brain", 1, 2, "Sample brain MRI"),
    Sample("MIASSAMLiver", "liver", 1, 2, "Sample liver CT"),
    Sample("MIASSAMRetina", "retina", 1, 1, "Sample retina OCT"),
)


def addSample(sample, session, answer):
    """Make the volume node of a generated sample and show it."""
    session.takeArray(answer["truth"])
    node = slicer.util.addVolumeFromArray(
        session.takeArray(answer["array"]), np.array(answer["ijk_to_ras"]), sample.name
    )
    node.SetDescription(answer["description"])
    if answer["modality"] == "ct":
        node.GetDisplayNode().AutoWindowLevelOff()
        node.GetDisplayNode().SetWindowLevel(*SOFT_TISSUE_WINDOW)
    slicer.util.setSliceViewerLayers(background=node)
    return node


def startLoading(jobs, sample, onLoaded, onFailure):
    """Load a sample in the panel; its bank is built the first time. onLoaded(volume node, bank path)."""

    def volumeMade(answer):
        node = addSample(sample, jobs.worker.session, answer)
        if hasCurrentBank(sample):
            onLoaded(node, str(sample.bankPath))
            return
        jobs.start("build_sample_bank", bankArguments(sample), lambda made: onLoaded(node, made["path"]), onFailure)

    jobs.start("make_sample", sample.arguments, volumeMade, onFailure)


def hasCurrentBank(sample):
    """Tell whether the sample's bank is there and was built by this version of the library and its model."""
    draft = banks.readManifest(sample.bankPath).get("draft", {})
    return (draft.get("code_version"), draft.get("model_digest")) == (libraryVersion, embeddedDigest())


def embeddedDigest():
    """Return the digest of the embedded model, from the file beside its weights."""
    return json.loads(EMBEDDED_CARD.read_text(encoding="utf-8"))["sha256"]


def bankArguments(sample):
    """Return the worker's arguments to build the bank of a sample."""
    return {"kind": sample.kind, "output": str(sample.bankPath), "model": EMBEDDED}


def loadSample(worker, sample):
    """Load a sample in a script and return its volume node."""
    return addSample(sample, worker.session, worker.call("make_sample", sample.arguments))


def ensureSampleBank(worker, sample, progress=None):
    """Return the bank of a sample in a script; it is built the first time."""
    if not hasCurrentBank(sample):
        worker.call("build_sample_bank", bankArguments(sample), progress)
    return str(sample.bankPath)


def sampleTitle(sample):
    """Name a sample in words."""
    return {
        "brain": _("Brain MRI with two lesions"),
        "liver": _("Liver CT with two lesions"),
        "retina": _("Retina OCT with fluid"),
    }[sample.kind]
