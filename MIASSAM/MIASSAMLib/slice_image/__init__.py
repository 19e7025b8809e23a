"""Grey rasters of slices, and the way back from the 256-px frame to native pixels."""

from .render import content_boxes, frame_to_native, map_to_frame_xy, native_to_map, render_raster

__all__ = ["content_boxes", "frame_to_native", "map_to_frame_xy", "native_to_map", "render_raster"]
