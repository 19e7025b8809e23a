"""One frozen config per preset: every number of the method, as data.

The config is saved in every bank and every result; loading refuses a mismatch. A preset's config has the fields that
this preset uses and no others, so a change either changes the result or is refused by name. Sources: the paper
(MIAS-SAM, BMVC 2025, sections 3.1 to 3.3) and, where the text is silent, the published code; docs/adr for `refined`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, get_args

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
from .refined_config import RefinedConfig

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


def read_config(data: Mapping[str, Any]) -> Config:
    """Read a config written by `to_dict`.

    Raises:
        UsageError: its preset is unknown, or it has other fields, or fields of another kind, than this version's.
    """
    base = PRESETS.get(str(data.get("preset", "")).partition(":")[0])
    if base is None:
        raise UsageError(f"there is no preset '{data.get('preset')}'; this version has {', '.join(PRESETS)}")
    if unlike := sorted(set(data) ^ {field.name for field in dataclasses.fields(base)}):
        raise UsageError(
            f"the config of preset {base.preset} differs from this version's in {', '.join(unlike)}: it was made "
            "by another version; build the bank again"
        )
    if odd := sorted(key for key, value in data.items() if not _is_like(getattr(base, key), value, key)):
        raise UsageError(
            f"the config of preset {base.preset} cannot be in {', '.join(odd)}: {odd[0]} is like "
            f"{getattr(base, odd[0])!r}; build the bank again"
        )
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
    return type(base)(**values)


def _is_like(usual: Any, value: Any, key: str) -> bool:
    """Tell whether a value is of the kind of the usual one, finite, and one of the choices where there are few."""
    if isinstance(usual, tuple):
        is_list = isinstance(value, (list, tuple))
        return is_list and all(_is_like(usual[0] if usual else 0.0, one, "") for one in value)
    if isinstance(usual, (bool, str)):
        return isinstance(value, type(usual)) and value in CHOICES.get(key, (value,))
    is_number = isinstance(value, (int, float) if isinstance(usual, float) else int) and not isinstance(value, bool)
    return is_number and abs(value) < 1e12


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
