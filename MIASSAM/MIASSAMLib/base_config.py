"""What every preset's config has: the numbers of patches, prompts, intensity window and foreground; see `config`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any, ClassVar, Literal

from .errors import UsageError

Distance = Literal["l2", "squared_l2"]
PromptKind = Literal["cog", "max", "box"]
MaskChoice = Literal["1", "2", "3", "auto"]
PerPosition = Literal["off", "auto", "on"]
Contrast = Literal["", "features", "flair"]

FRAME_PX = 1024
"""Side of SAM's square frame; prompts are given in its pixels."""
MAP_PX = 256
"""Side of the anomaly map, and of SAM's low-resolution logits."""
EMBEDDING_PX = 64
"""Side of SAM's image embedding (256 channels)."""
PATCH_GRID = 32
"""Patches per side of a slice (paper 3.1 with the published code's padding)."""


ROW_FIELDS = (
    "features", "window_px", "stride", "padding", "pooled_cells", "lesion_margin", "detour_px", "foreground_only",
    "place_weight", "intensity_means_px", "intensity_spreads_px", "window_medians", "air_hu",
    "otsu_share", "constant_share", "near_share", "few_share", "speck_share",
    "retina_margin_px", "retina_light", "retina_blur", "retina_bend", "retina_thick", "retina_quality",
)  # fmt: skip
"""Fields that decide which rows a bank holds."""


@dataclasses.dataclass(frozen=True)
class Config:
    """What every preset has.

    Attributes:
        preset: name of the preset this config started from.
        features: feature kinds a bank of this config stores, in order.
        window_px, stride, padding, pooled_cells: the patching function P, in embedding cells (paper 3.1).
        lesion_margin: slices this near to a lesion's teach nothing normal either: partial volume, edema, short labels.
        half_cell_shift: resize the patch grid as the published code does, which moves the map by
            +8 px of 1024 right and down.
        map_sigma_px: Gaussian smoothing of the map, px of the 256 map.
        gamma: exponent of the center-of-gravity weights (paper 3.2).
        box_level: the box prompt holds what lies above this share of the map's height (paper, Table 3).
        prompt, mask: defaults of the point rule and the mask index.
        detour_px: the published code shrinks each image to this side before SAM's 1024; 0 = no detour.
        seed: seed of every random choice of a build.

    Intensity window and foreground of a volume:
        window_medians: the foreground's window is white at this many times its median above black.
        air_hu: CT voxels up to this are air.
        constant_share: a background is constant when the minimum fills more than this share of the volume
        near_share, few_share: and less than few_share of the rest lies within near_share of the range above it.
        otsu_share: elsewhere tissue begins at this share of Otsu's level, so that dark tissue stays.
        speck_share: parts smaller than this share of the largest are noise.

    Retina of an OCT scan (lengths in rows of a B-scan of 496 and columns of one of 768):
        retina_margin_px: what is constant this far around is no scan, as stored.
        retina_light: percentiles of the scan that are black and white.
        retina_blur: Gaussian smoothing, rows and columns.
        retina_bend: rows by which the pigment epithelium and the inner membrane rise or fall in two columns.
        retina_thick: the retina is at least and at most this thick.
        retina_quality: an epithelium is none where its strength, smoothed over this many columns, is below this share
            of its median.
    """

    preset: str
    features: tuple[str, ...] = ("embedding",)
    window_px: int = 5
    stride: int = 2
    padding: int = 2
    pooled_cells: int = 4
    lesion_margin: int = 2
    half_cell_shift: bool = False
    map_sigma_px: float = 4.0
    gamma: float = 5.0
    box_level: float = 0.5
    prompt: PromptKind = "cog"
    mask: MaskChoice = "3"
    detour_px: int = 0
    seed: int = 0
    window_medians: float = 3.0
    air_hu: float = -500.0
    constant_share: float = 0.05
    near_share: float = 0.1
    few_share: float = 0.2
    otsu_share: float = 0.5
    speck_share: float = 0.001
    retina_margin_px: int = 5
    retina_light: tuple[float, ...] = (20.0, 99.0)
    retina_blur: tuple[float, ...] = (1.5, 2.5)
    retina_bend: tuple[float, ...] = (2.0, 4.0)
    retina_thick: tuple[float, ...] = (24.0, 220.0)
    retina_quality: tuple[float, ...] = (12.0, 0.4)

    is_calibrated: ClassVar[bool] = False
    """Whether maps are z-maps of held-out normals, so that only what is unusual is segmented."""

    def __post_init__(self) -> None:
        side = (EMBEDDING_PX + 2 * self.padding - self.window_px) // max(self.stride, 1) + 1
        if self.stride != EMBEDDING_PX // PATCH_GRID or side != PATCH_GRID:
            raise UsageError(
                f"windows of {self.window_px} cells, stride {self.stride} and padding {self.padding} give a grid of "
                f"{side} x {side} patches; {PATCH_GRID} x {PATCH_GRID} are wanted, as by 5, 2 and 2"
            )
        if unknown := sorted(set(self.features) - {"embedding", "intensity"}):
            raise UsageError(f"feature kinds {unknown} are unknown; choose of embedding and intensity")

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON-able data."""
        data = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}

    def row_digest(self) -> str:
        """Return the digest of what decides a bank's rows: configs with equal digests may share a bank."""
        rows = {key: value for key, value in self.to_dict().items() if key in ROW_FIELDS}
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()

    def digest(self) -> str:
        """Return the SHA-256 of the whole config."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()
