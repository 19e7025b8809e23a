"""Build a memory bank from normal volumes, and calibrate it on slices it has not seen."""

from .builder import BuildOptions, BuildSource, LocalEncoder, SourceEncoder, build_bank
from .normal_slices import normal_slices

__all__ = ["BuildOptions", "BuildSource", "LocalEncoder", "SourceEncoder", "build_bank", "normal_slices"]
