"""Volumes in and results out: the only room that knows file formats and that flips LPS to RAS."""

from .apart import ReaderApart
from .dicom_seg import check_dicom_seg, write_dicom_seg
from .door import at_most
from .formats import case_name, case_names
from .labels import read_label
from .markups import read_markups
from .raw import guess_modality
from .reading import find_inputs, read_volume, source_digest
from .segmentation import segment_names, write_segmentation
from .writing import MarkupPoint, write_heat_map, write_markups, write_volume

__all__ = [
    "MarkupPoint",
    "ReaderApart",
    "at_most",
    "case_name",
    "check_dicom_seg",
    "case_names",
    "find_inputs",
    "guess_modality",
    "read_label",
    "read_markups",
    "read_volume",
    "segment_names",
    "source_digest",
    "write_dicom_seg",
    "write_heat_map",
    "write_markups",
    "write_segmentation",
    "write_volume",
]
