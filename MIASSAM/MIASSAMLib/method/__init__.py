"""The method: from voxels to an embedding, a map, prompts, masks, and back into the volume."""

from .building import BuildOptions, BuildSource, LocalEncoder, SourceEncoder, build_bank
from .features import EncodedSlice, encode_slices, foreground_patches
from .normal_slices import normal_slices
from .prepare import PreparedVolume, Preprocessing
from .prompts import Mark, UserPrompts
from .reading import Reading, SegmentOptions, Stopwatch, slice_range
from .results import CaseResult, Finding, SliceResult
from .segmenter import Segmenter, heat_unit

__all__ = [
    "BuildOptions",
    "BuildSource",
    "LocalEncoder",
    "SourceEncoder",
    "build_bank",
    "normal_slices",
    "CaseResult",
    "EncodedSlice",
    "Finding",
    "Mark",
    "PreparedVolume",
    "Preprocessing",
    "SegmentOptions",
    "Reading",
    "Segmenter",
    "Stopwatch",
    "UserPrompts",
    "heat_unit",
    "SliceResult",
    "encode_slices",
    "foreground_patches",
    "slice_range",
]
