"""One frozen config per preset: every number of the method, as data.

The config is saved in every bank and every result; loading refuses a mismatch. Sources: the paper
(MIAS-SAM, BMVC 2025, sections 3.1 to 3.3) and, where the text is silent, the published code.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

from .errors import UsageError

Distance = Literal["l2", "squared_l2"]
PromptKind = Literal["cog", "max", "box"]
MaskChoice = Literal["1", "2", "3", "auto"]

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
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})

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
        calibrated=True,
    ),
}


def preset(name: str) -> Config:
    """Return the config of a preset.

    Raises:
        UsageError: no preset has this name.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset '{name}'; choose one of {', '.join(PRESETS)}")
    return PRESETS[name]
