"""A volume made ready: one window, one plane, one frame, and its foreground."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import DEFAULT, FRAME_PX, MAP_PX, Config
from ..volume import IntensityWindow, SliceFrame, SlicePlane, Volume, foreground_mask, measure_window
from ..volume.plane import check_axis
from ..volume.retina import RetinaSlice, find_retinas
from ..volume.slice_image import content_boxes, native_to_map, render_raster
from ..volume.window import check_window


@dataclass(frozen=True)
class Preprocessing:
    """How volumes are cut and scaled; saved in the bank, so that the volume under test follows.

    Attributes:
        axis: slice axis, one of `AXIS_NAMES`.
        window: name of a window rule, or {"rule": "fixed", "low": LO, "high": HI}.
        modality: "mri", "ct", "oct", or "" to take each volume's own.

    Raises:
        UsageError: the axis or window is unknown.
    """

    axis: str = "auto"
    window: str | Mapping[str, Any] = "auto"
    modality: str = ""

    def __post_init__(self) -> None:
        check_axis(self.axis)
        check_window(self.window)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data."""
        window = self.window if isinstance(self.window, str) else dict(self.window)
        return {"axis": self.axis, "window": window, "modality": self.modality}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocessing:
        """Read what `to_dict` wrote."""
        return cls(data.get("axis", "auto"), data.get("window", "auto"), data.get("modality", ""))


@dataclass(frozen=True)
class PreparedVolume:
    """A volume with everything needed to render any of its slices."""

    volume: Volume
    plane: SlicePlane
    frame: SliceFrame
    window: IntensityWindow
    config: Config = DEFAULT

    @classmethod
    def of(cls, volume: Volume, preprocessing: Preprocessing, config: Config = DEFAULT) -> PreparedVolume:
        """Prepare a volume.

        Raises:
            UsageError: the axis or window is unknown.
        """
        if preprocessing.modality:
            volume = replace(volume, modality=preprocessing.modality)
        plane = SlicePlane.of(volume, preprocessing.axis)
        window = measure_window(volume, preprocessing.window, config)
        return cls(volume, plane, SliceFrame.fit(plane.shape_yx), window, config)

    @cached_property
    def foreground_kji(self) -> BoolArray:
        """Voxels of the patient, and of the region where there is one, bool (K, J, I)."""
        foreground = foreground_mask(self.volume, self.config, self.retinas)
        region = self.volume.region_kji
        return foreground if region is None else foreground & region

    @cached_property
    def retinas(self) -> list[RetinaSlice] | None:
        """The retina on each B-scan, None in other volumes than OCT."""
        return find_retinas(self.volume, self.config) if self.volume.modality == "oct" else None

    @property
    def is_bounded(self) -> bool:
        """Tell whether only a region is compared and marked."""
        return self.volume.region_kji is not None

    def region(self, index: int) -> BoolArray:
        """Return where a slice may be marked, bool (H, W)."""
        region = self.volume.region_kji
        return np.ones(self.plane.shape_yx, bool) if region is None else self.plane.take(region, index)

    @cached_property
    def is_bscans(self) -> bool:
        """Tell whether slices are B-scans of OCT: cut as the scanner made them."""
        return self.volume.modality == "oct" and self.plane.slice_axis == SlicePlane.of(self.volume).slice_axis

    @property
    def map_pixel_mm(self) -> float:
        """Return the side of a pixel of the 256-px frame, mm."""
        return self.plane.pixel_mm * FRAME_PX / MAP_PX / float(self.frame.scale_xy.mean())

    @cached_property
    def _foreground_extent(self) -> tuple[int, int]:
        """First and last slice with foreground."""
        present = [index for index in range(self.plane.n_slices) if self.plane.take(self.foreground_kji, index).any()]
        return (present[0], present[-1]) if present else (0, self.plane.n_slices - 1)

    def depth(self, index: int) -> float:
        """Return where a slice lies between the first and last with foreground, 0 to 1.

        It grows toward the patient's right, front or top, whatever the storage order.
        """
        first, last = self._foreground_extent
        share = float(np.clip((index - first) / max(1, last - first), 0, 1))
        return 1 - share if self.plane.flip_slices else share

    def pixels(self, index: int) -> FloatArray:
        """Return slice `index` scaled by the volume's window, float32 (H, W) in [0, 1]."""
        return self.window.apply(self.plane.take(self.volume.voxels_kji, index))

    def rasters(self, indexes: Sequence[int], side_px: int, config: Config) -> FloatArray:
        """Return the grey rasters (B, S, S) of slices."""
        return np.stack(
            [render_raster(self.pixels(index), self.frame, side_px, config.detour_px) for index in indexes]
        )

    def content_boxes(self, count: int) -> AnyArray:
        """Return the content box of each of `count` slices, int (count, 4)."""
        return content_boxes([self.frame] * count)

    def foreground_map(self, index: int) -> BoolArray:
        """Return the foreground of a slice in the 256-px frame."""
        native = self.plane.take(self.foreground_kji, index)
        return np.asarray(native_to_map(native, self.frame) > 0.5)
