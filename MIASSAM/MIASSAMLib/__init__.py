"""Find and outline what is abnormal in a medical volume, having seen only normal anatomy.

MIAS-SAM (BMVC 2025): patches of SAM image embeddings are compared with a memory bank of normal
patches; the distances form an anomaly map whose center of gravity prompts SAM's decoder.
This package never imports slicer, qt, ctk or vtk.

From a file to a mask (docs/python.md):

    from MIASSAMLib import build_bank, open_segmenter, read_volume, write_case

    build_bank("brain.bank", ["normal_1.nii.gz", "normal_2.nii.gz"])
    result = open_segmenter("brain.bank").segment(read_volume("patient.nii.gz"))
    result.labels_kji                       # uint16 (K, J, I): 0 = normal, n = lesion n
    write_case("results", result)           # segmentation, heat map, points, record, contact sheet
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import build_bank, open_model, open_segmenter
    from .method import SegmentOptions, UserPrompts
    from .outputs import write_case
    from .volume import Volume
    from .volume_io import read_volume

__version__ = "0.1.0"

__all__ = [
    "SegmentOptions", "UserPrompts", "Volume", "build_bank", "open_model", "open_segmenter", "read_volume",
    "write_case",
]  # fmt: skip

_ROOMS = {
    "SegmentOptions": "method", "UserPrompts": "method", "Volume": "volume", "build_bank": "api", "open_model": "api",
    "open_segmenter": "api", "read_volume": "volume_io", "write_case": "outputs",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for: opening the package loads nothing heavy."""
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)
