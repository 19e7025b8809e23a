"""Volumes, how they are cut into slices, and the frames that carry pixels there and back."""

from .foreground import foreground_mask
from .frame import SliceFrame
from .plane import AXIS_NAMES, SlicePlane
from .volume import Volume
from .window import WINDOW_NAMES, IntensityWindow, measure_window

__all__ = [
    "AXIS_NAMES",
    "WINDOW_NAMES",
    "IntensityWindow",
    "SliceFrame",
    "SlicePlane",
    "Volume",
    "foreground_mask",
    "measure_window",
]
