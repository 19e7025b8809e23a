"""One frozen config per preset: every number of the method, as data.

The config is saved in every bank and every result; loading refuses a mismatch. A preset's config has the fields that
this preset uses and no others, so a change either changes the result or is refused by name. Sources: the paper
(MIAS-SAM, BMVC 2025, sections 3.1 to 3.3) and, where the text is silent, the published code; docs/adr for `refined`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, get_args

from .base_config import (
    EMBEDDING_PX,
    FRAME_PX,
    MAP_PX,
    PATCH_GRID,
    ROW_FIELDS,
    Config,
    Contrast,
    Distance,
    MaskChoice,
    PerPosition,
    PromptKind,
)
from .errors import UsageError

__all__ = [
    "CHOICES",
    "Config",
    "Contrast",
    "DEFAULT",
    "Distance",
    "EMBEDDING_PX",
    "FRAME_PX",
    "MAP_PX",
    "MaskChoice",
    "PATCH_GRID",
    "PRESETS",
    "PaperConfig",
    "PerPosition",
    "PromptKind",
    "ROW_FIELDS",
    "RefinedConfig",
    "changed",
    "preset",
    "read_config",
]


@dataclasses.dataclass(frozen=True)
class PaperConfig(Config):
    """What only the paper's way has: one prompt on every slice.

    Attributes:
        distance: what a patch score is; the published code keeps Faiss's squared L2.
        foreground_only: ignore the map outside the foreground for scores and prompts.
        dense_prompt: add the map to the prompt through SAM's mask input (paper 3.3).
        dense_prompt_logit: a normalized map value v enters as the logit (2 v - 1) * dense_prompt_logit.
    """

    distance: Distance = "l2"
    foreground_only: bool = False
    dense_prompt: bool = True
    dense_prompt_logit: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.features != ("embedding",):
            raise UsageError(f"the preset {self.preset} compares embeddings only; features {self.features} came")


@dataclasses.dataclass(frozen=True)
class RefinedConfig(Config):
    """What only the calibrated way has: clusters of a z-map, lesions in 3-D, candidates weighed by evidence.

    Features and their calibration on held-out normal slices:
        place_weight: weight of a patch's place in the foreground box among its intensity features.
        intensity_means_px, intensity_spreads_px: sigmas of the intensity statistics, px of the 256 map.
        fusion_weights: weight of each kind's z score in the map.
        per_position: calibrate each place of the foreground by itself: off, on, or where it predicts normal
            volumes better (auto), which takes at least per_position_volumes of them.
        contrast: what the map shows. "" leaves it to the modality: features, and in OCT pockets of fluid, too
            (docs/adr/0006); "features" these alone; "flair" brightness, where lesions are bright.
        fluid_light: pockets are told by light between these, 0 = vitreous, 1 = bright layers: deep shadow is no darker
            than fluid, and a deposit no brighter a wall than a layer.
        fluid_low_um, fluid_low_weight: below this height above the pigment epithelium a pocket counts this much.
        fluid_share: where features and fluid count (OCT), the share of the false alarms that fluid may make.
        brightness_sigma_px: smoothing of that map, px of the 256 map.
        held_out_slices: how many slices of a build are held out.
        held_out_gap: in a bank of one volume a held-out slice is compared with slices more than this far away.
        scale_width_cells: Gaussian width of the scale by place, along the slice axis and in the plane, in its cells.
        scale_prior: how many mean cells' worth of patches the pooled scale counts for in each place.
        scale_least_spread: no place's spread is smaller than this share of the pooled one.
        tail_quantile: beyond this quantile of normal clusters the tail is an exponential of their logarithms.
        depth_sigma, depth_least_weight: a cluster is compared with slices of its own depth (share of the patient's
            extent) with Gaussian weights, others count this much.
        level_quantile: the cluster-forming level exceeds this share of normal tissue.
        contrast_weight: weight of each further contrast's map beside the first's (docs/adr/0007).
        contrast_correlation: of the maps of two contrasts in normal tissue.
        axis_sigma_mm: Gaussian smoothing of maps along the slice axis; 0 = none.

    Without a bank, a volume beside itself (own_volume.py):
        own_level: the cluster-forming level, in the volume's own standard deviations.
        own_smooth_cells: Gaussian smoothing of the map, in cells of 4 px of the 256 map.
        own_rare_share: a place is rare when this share of the volume's tissue lies far from it.
        own_common_share: this share of the volume, the most usual, is what all of it is compared with.
        own_decay: a cluster's height above the level counts as a tail of exp(-own_decay * height): by it no cluster of
            normal phantoms (at most 2.53 high) seeds a lesion in a whole head at the usual sensitivity.
        own_least_mm2: clusters smaller than this seed nothing.

    Lesions (docs/adr/0001):
        grow_tail: a cluster belongs to a lesion it overlaps when at most this share of normal slices has one as heavy.
        independent_mm: slices this far apart count as independent looks at the volume.
        independent_bscan_mm: the same for B-scans of OCT, a hundred times finer than a body.

    Outlines of a cluster (docs/adr/0005):
        zoom: a cluster is looked at again in windows this many times as wide as it is.
        window_least_px: side of the smallest window, native px: less shows nothing but interpolation.
        native_windows: where the slice has more pixels than the model sees, a user's point beside every cluster is
            looked at in windows of these shares of the pixels the model sees.
        window_share: a window larger than this share of the slice is no closer look.
        ring_px: negative points lie between these distances from the cluster, px of the 256 map.
        ring_quiet: and where the map is below this many standard deviations.
        near_px: how far beside the cluster a mask still lies near it, px of the 256 map.
        rim_px: width of the rim a mask is compared with, px of the 256 map.
        shape_px: a cluster this wide is much wider than the map's blur, so that agreement counts in full.
        least_part: parts of a mask smaller than this share of its largest are specks and left out.
        reach_px: a user's point this near to a cluster means the cluster, px of the 256 map.
        least_inside: a mask of which less lies on or near the cluster is not believed; then the cluster is outlined.
    """

    features: tuple[str, ...] = ("embedding", "intensity")
    gamma: float = 2.0
    mask: MaskChoice = "auto"
    place_weight: float = 0.15
    intensity_means_px: tuple[float, ...] = (1.0, 2.0, 4.0, 8.0)
    intensity_spreads_px: tuple[float, ...] = (2.0, 4.0)
    fusion_weights: tuple[float, ...] = (0.5, 1.0)
    per_position: PerPosition = "auto"
    per_position_volumes: int = 3
    contrast: Contrast = ""
    fluid_light: tuple[float, ...] = (0.3, 0.8)
    fluid_low_um: float = 120.0
    fluid_low_weight: float = 0.5
    fluid_share: float = 0.8
    brightness_sigma_px: float = 1.0
    held_out_slices: int = 160
    held_out_gap: int = 2
    scale_width_cells: tuple[float, ...] = (0.7, 1.5)
    scale_prior: float = 0.5
    scale_least_spread: float = 0.2
    tail_quantile: float = 0.8
    depth_sigma: float = 0.2
    depth_least_weight: float = 0.02
    level_quantile: float = 0.975
    contrast_weight: float = 0.33
    contrast_correlation: float = 0.5
    axis_sigma_mm: float = 0.0
    own_level: float = 1.6
    own_smooth_cells: float = 1.0
    own_rare_share: float = 0.1
    own_common_share: float = 0.6
    own_decay: float = 6.0
    own_least_mm2: float = 50.0
    grow_tail: float = 0.3
    independent_mm: float = 10.0
    independent_bscan_mm: float = 0.25
    zoom: tuple[float, ...] = (2.0, 3.0)
    window_least_px: int = 32
    native_windows: tuple[float, ...] = (0.375, 0.75, 1.5)
    window_share: float = 0.75
    ring_px: tuple[float, ...] = (10.0, 24.0)
    ring_quiet: float = 1.0
    near_px: int = 6
    rim_px: int = 4
    shape_px: float = 64.0
    least_part: float = 0.1
    reach_px: float = 2.0
    least_inside: float = 0.4

    is_calibrated: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rim_px < 1:
            raise UsageError(f"rim_px is {self.rim_px}; a mask is compared with a rim of 1 px or more")
        if len(self.fusion_weights) != len(self.features):
            raise UsageError(
                f"{len(self.fusion_weights)} fusion weights came for the {len(self.features)} feature kinds "
                f"{', '.join(self.features)}; give one for each, joined by +"
            )


DEFAULT = RefinedConfig(preset="refined")
"""What is used where no preset was chosen."""

PRESETS: dict[str, Config] = {
    "paper": PaperConfig(preset="paper"),
    "published-code": PaperConfig(
        preset="published-code", distance="squared_l2", half_cell_shift=True, dense_prompt=False, detour_px=256
    ),
    "refined": DEFAULT,
}

CHOICES: dict[str, tuple[str, ...]] = {
    "distance": get_args(Distance),
    "prompt": get_args(PromptKind),
    "mask": get_args(MaskChoice),
    "per_position": get_args(PerPosition),
    "contrast": get_args(Contrast),
}
"""What a field with few values may be."""


_LATER = ("contrast_weight", "contrast_correlation")
"""Fields that older banks and results lack, and that changed nothing in them."""


def read_config(data: Mapping[str, Any]) -> Config:
    """Read a config written by `to_dict`.

    Raises:
        UsageError: its preset is unknown, or it has other fields than this version's.
    """
    base = PRESETS.get(str(data.get("preset", "")).partition(":")[0])
    if base is None:
        raise UsageError(f"there is no preset '{data.get('preset')}'; this version has {', '.join(PRESETS)}")
    data = {**{name: getattr(base, name) for name in _LATER if hasattr(base, name)}, **data}
    if unlike := sorted(set(data) ^ {field.name for field in dataclasses.fields(base)}):
        raise UsageError(
            f"the config of preset {base.preset} differs from this version's in {', '.join(unlike)}: it was made "
            "by another version; build the bank again"
        )
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return type(base)(**values)


def preset(name: str) -> Config:
    """Return the config of a preset, or of one with changes: `refined:zoom=off,mask=3`.

    A change names a field of the preset's config; several values of one field are joined by `+`, none is `off`.

    Raises:
        UsageError: no preset has this name, or a change does not fit.
    """
    base, _, changes = name.partition(":")
    if base not in PRESETS:
        raise UsageError(f"there is no preset '{base}'; choose one of {', '.join(PRESETS)}")
    return dataclasses.replace(changed(PRESETS[base], changes), preset=name)


def changed(config: Config, changes: str) -> Config:
    """Return a config with changes such as `contrast=flair,axis_sigma_mm=5`.

    Raises:
        UsageError: a change names no field of this preset, or its value does not fit.
    """
    for change in filter(None, changes.split(",")):
        config = _changed_once(config, change)
    return config


def _changed_once(config: Config, change: str) -> Config:
    key, equals, text = change.partition("=")
    fields = [field.name for field in dataclasses.fields(config) if field.name != "preset"]
    if key not in fields or not equals:
        raise UsageError(
            f"'{change}' changes no field that the preset {config.preset} uses; write FIELD=VALUE with one of "
            f"{', '.join(fields)}"
        )
    try:
        value = _value_like(getattr(config, key), text)
        if value not in CHOICES.get(key, (value,)):
            raise ValueError(text)
    except ValueError as error:
        raise UsageError(f"'{change}' does not fit: {key} is like {getattr(config, key)!r}") from error
    return dataclasses.replace(config, **{key: value})


def _value_like(old: Any, text: str) -> Any:
    """Read a value of the kind of an old one; a tuple's items are joined by `+`."""
    if isinstance(old, bool):
        return bool(("off", "on").index(text))
    if isinstance(old, tuple):
        parts = [] if text == "off" else text.split("+")
        return tuple(part if old and isinstance(old[0], str) else float(part) for part in parts)
    if isinstance(old, str):
        return "" if text == "none" else text
    return type(old)(text)
