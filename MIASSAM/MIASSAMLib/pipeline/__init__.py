"""The order of the steps: encode, map, prompt, decode, and back into the volume."""

from .features import EncodedSlice, encode_slices, extract_features, foreground_patches, smoothed_brightness
from .prepare import PreparedVolume, Preprocessing
from .results import CaseResult, Finding, SliceResult
from .scoring import SliceMap, map_slice, search_slice
from .segmenter import Segmenter, SegmentOptions, slice_range

__all__ = [
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
