"""Volumes in and results out: the only room that knows file formats and that flips LPS to RAS."""

from ..files import check_output_dir
from .formats import SUPPORTED, case_name, case_names
from .labels import read_label
from .pictures import NO_POSITION
from .raw import guess_modality
from .reading import find_inputs, read_volume, source_digest, volume_digest
from .segmentation import COLORS, MASS, Terminology, write_segmentation
from .writing import MarkupPoint, write_heat_map, write_markups, write_volume

__all__ = [
    "COLORS",
    "MASS",
    "NO_POSITION",
    "SUPPORTED",
    "MarkupPoint",
    "Terminology",
    "case_name",
    "case_names",
    "check_output_dir",
    "find_inputs",
    "guess_modality",
    "read_label",
    "read_volume",
    "source_digest",
    "volume_digest",
    "write_heat_map",
    "write_markups",
    "write_segmentation",
    "write_volume",
]
