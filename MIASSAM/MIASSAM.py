"""MIASSAM: outline what is abnormal in a volume, having seen only normal anatomy.

The entry file that Slicer loads; the classes it looks for live in ``MIASSAMSlicerLib``.
"""

import slicer
from MIASSAMSlicerLib.logic import MIASSAMLogic
from MIASSAMSlicerLib.moduleTest import MIASSAMTest
from MIASSAMSlicerLib.sampleData import registerSampleData
from MIASSAMSlicerLib.widget import MIASSAMWidget
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import ScriptedLoadableModule

__all__ = ["MIASSAM", "MIASSAMLogic", "MIASSAMTest", "MIASSAMWidget"]


class MIASSAM(ScriptedLoadableModule):
    """The module's card in the module list."""

    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("MIAS-SAM")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        parent.dependencies = []
        parent.contributors = ["MIASSAM contributors"]
        parent.helpText = _("""
Outlines what is abnormal in an MRI, CT or OCT volume, having seen only normal anatomy. Choose a volume and a
memory bank of normal anatomy, click <i>Segment anomalies</i>, and correct the result by dragging the center-of-gravity
points. For research only, not for diagnosis. The method:
<a href="https://arxiv.org/abs/2505.22762">arxiv.org/abs/2505.22762</a>.
""")
        parent.acknowledgementText = _("""
The method is MIAS-SAM. Please cite: <i>MIAS-SAM: Medical Image Anomaly Segmentation without thresholding</i>,
British Machine Vision Conference (BMVC) 2025, arXiv:2505.22762. It builds on the Segment Anything Model
(Kirillov et al., 2023) and PatchCore (Roth et al., 2022).
""")
        slicer.app.connect("startupCompleted()", registerSampleData)
