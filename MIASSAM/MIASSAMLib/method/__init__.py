"""The method: from voxels to an embedding, a map, prompts, masks, and back into the volume."""

from .building import BuildOptions, BuildSource, LocalEncoder, SourceEncoder, build_bank
from .features import EncodedSlice, encode_slices, extract_features, foreground_patches, smoothed_brightness
from .normal_slices import normal_slices
from .prepare import PreparedVolume, Preprocessing
from .results import CaseResult, Finding, SliceResult
from .scoring import SliceMap, map_slice, search_slice
from .segmenter import Segmenter, SegmentOptions, slice_range

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
    "PreparedVolume",
    "Preprocessing",
    "SegmentOptions",
    "Segmenter",
    "SliceMap",
    "SliceResult",
    "encode_slices",
    "extract_features",
    "foreground_patches",
    "map_slice",
    "search_slice",
    "slice_range",
    "smoothed_brightness",
]
