"""Volumes, how they are cut into slices, and the frames that carry pixels there and back."""

from .foreground import foreground_mask
from .frame import SliceFrame
from .mirror import MirrorPlane, find_mirror
from .plane import AXIS_NAMES, SlicePlane
from .volume import Volume
from .window import WINDOW_NAMES, IntensityWindow, measure_window

__all__ = [
    "AXIS_NAMES",
    "WINDOW_NAMES",
    "IntensityWindow",
    "MirrorPlane",
    "SliceFrame",
    "SlicePlane",
    "Volume",
    "find_mirror",
    "foreground_mask",
    "measure_window",
]
