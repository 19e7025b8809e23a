"""One frozen config per preset: every number of the method, as data.

The config is saved in every bank and every result; loading refuses a mismatch. Sources: the paper
(MIAS-SAM, BMVC 2025, sections 3.1 to 3.3) and, where the text is silent, the published code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal, get_args

from .errors import UsageError

Distance = Literal["l2", "squared_l2"]
PromptKind = Literal["cog", "max", "box"]
MaskChoice = Literal["1", "2", "3", "auto"]
PerPosition = Literal["off", "auto", "on"]
Contrast = Literal["", "flair"]

FRAME_PX = 1024
"""Side of SAM's square frame; prompts are given in its pixels."""
MAP_PX = 256
"""Side of the anomaly map, and of SAM's low-resolution logits."""
EMBEDDING_PX = 64
"""Side of SAM's image embedding (256 channels)."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Numbers of one preset.

    Attributes:
        preset: name of the preset this config started from.
        features: feature kinds a bank of this config stores, in order.
        fusion_weights: weight of each kind's z score in a calibrated map.
        place_weight: weight of a patch's place in the foreground box among its intensity features.
        window_px, stride, padding, pooled_cells: the patching function P, in embedding cells (paper 3.1).
        distance: what a patch score is; the published code keeps Faiss's squared L2.
        half_cell_shift: resize the patch grid as the published code does, which moves the map by
            +8 px of 1024 right and down.
        map_sigma_px: Gaussian smoothing of the map, px of the 256 map.
        gamma: exponent of the center-of-gravity weights (paper 3.2).
        box_level: cut of the normalized map for the box prompt (paper, Table 3).
        dense_prompt: add the map to the prompt through SAM's mask input (paper 3.3).
        dense_prompt_logit: a normalized map value v enters as the logit (2 v - 1) * dense_prompt_logit.
        prompt, mask: defaults of the point rule and the mask index.
        detour_px: the published code shrinks each image to this side before SAM's 1024; 0 = no detour.
        foreground_only: ignore the map outside the foreground for scores and prompts.
        per_position: calibrate each place of the foreground by itself: off, on, or where it predicts normal
            volumes better (auto).
        contrast: "flair" makes the calibrated map one of brightness, for contrasts on which lesions are bright.
        zoom: a cluster is looked at again in windows this many times as wide as it is.
        feedback_rounds: how often a mask may go back into the decoder as a prompt.
        axis_sigma_mm: Gaussian smoothing of calibrated maps along the slice axis; 0 = none.
        calibrated: maps become z-maps of held-out normals and only unusual slices are segmented.
        seed: seed of every random choice of a build.
    """

    preset: str
    features: tuple[str, ...] = ("embedding",)
    fusion_weights: tuple[float, ...] = (1.0,)
    place_weight: float = 0.0
    window_px: int = 5
    stride: int = 2
    padding: int = 2
    pooled_cells: int = 4
    distance: Distance = "l2"
    half_cell_shift: bool = False
    map_sigma_px: float = 4.0
    gamma: float = 5.0
    box_level: float = 0.5
    dense_prompt: bool = True
    dense_prompt_logit: float = 8.0
    prompt: PromptKind = "cog"
    mask: MaskChoice = "3"
    detour_px: int = 0
    foreground_only: bool = False
    per_position: PerPosition = "off"
    contrast: Contrast = ""
    zoom: tuple[float, ...] = ()
    feedback_rounds: int = 0
    axis_sigma_mm: float = 0.0
    calibrated: bool = False
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON-able data."""
        data = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Config:
        """Read a config written by `to_dict`.

        Raises:
            UsageError: a key is unknown, so the data came from another version.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(data) - known):
            raise UsageError(f"config has unknown keys {unknown}; this version knows {sorted(known)}")
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        return cls(**values)

    def feature_digest(self) -> str:
        """Return the digest of what decides a bank's rows: equal digests may share a bank."""
        keys = ("features", "place_weight", "window_px", "stride", "padding", "pooled_cells", "detour_px")
        data = self.to_dict()
        return _digest({key: data[key] for key in keys})

    def digest(self) -> str:
        """Return the SHA-256 of the whole config."""
        return _digest(self.to_dict())


def _digest(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


PRESETS: dict[str, Config] = {
    "paper": Config(preset="paper"),
    "published-code": Config(
        preset="published-code",
        distance="squared_l2",
        half_cell_shift=True,
        dense_prompt=False,
        detour_px=256,
    ),
    "refined": Config(
        preset="refined",
        features=("embedding", "intensity"),
        fusion_weights=(0.5, 1.0),
        place_weight=0.15,
        dense_prompt=False,
        mask="auto",
        foreground_only=True,
        per_position="auto",
        zoom=(2.0, 3.0),
        feedback_rounds=3,
        calibrated=True,
    ),
}


CHOICES: dict[str, tuple[str, ...]] = {
    "distance": get_args(Distance),
    "prompt": get_args(PromptKind),
    "mask": get_args(MaskChoice),
    "per_position": get_args(PerPosition),
    "contrast": get_args(Contrast),
}
"""What a field with few values may be."""


def preset(name: str) -> Config:
    """Return the config of a preset, or of one with changes: `refined:zoom=off,mask=3`.

    A change names a field of `Config`; several values of one field are joined by `+`, none is `off`.

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
        UsageError: a change names no field, its value does not fit, or the preset cannot do it.
    """
    for change in filter(None, changes.split(",")):
        config = _changed_once(config, change)
    if (config.contrast or config.axis_sigma_mm) and not config.calibrated:
        raise UsageError(f"{changes} needs a calibrated map, which the preset {config.preset} has not; use refined")
    return config


def _changed_once(config: Config, change: str) -> Config:
    key, equals, text = change.partition("=")
    fields = [field.name for field in dataclasses.fields(config) if field.name != "preset"]
    if key not in fields or not equals:
        raise UsageError(f"'{change}' changes no field of a preset; write FIELD=VALUE with one of {', '.join(fields)}")
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
