"""One intensity window per volume, never per slice: a per-slice window erases the anomaly.

The same rule serves the bank and the volume under test, and is recorded in the manifest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..config import DEFAULT, Config
from ..errors import UsageError
from .foreground import foreground_mask
from .volume import Volume

CT_WINDOWS = {
    "ct-abdomen": (-160.0, 240.0),
    "ct-liver": (-60.0, 180.0),
    "ct-lung": (-1350.0, 150.0),
    "ct-brain": (0.0, 80.0),
    "ct-bone": (-450.0, 1050.0),
}
WINDOW_NAMES = ("auto", "foreground", "as-is", *CT_WINDOWS)


@dataclass(frozen=True)
class IntensityWindow:
    """A linear window: low maps to 0, high to 1, clipped.

    Attributes:
        low, high: in the volume's own units.
        rule: the rule that gave it, one of WINDOW_NAMES or "fixed".
    """

    low: float
    high: float
    rule: str

    def apply(self, values: AnyArray) -> FloatArray:
        """Return float32 values in [0, 1]."""
        width = max(self.high - self.low, 1e-12)
        scaled = (values.astype(np.float32) - np.float32(self.low)) / np.float32(width)
        return np.asarray(np.clip(scaled, 0, 1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return the window as JSON-able data."""
        return asdict(self)


def window_rule(name: str, modality: str) -> str:
    """Resolve `auto` for a modality: CT -> ct-abdomen, OCT -> as-is, MRI and others -> foreground.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in (*WINDOW_NAMES, "fixed"):
        raise UsageError(
            f"intensity window '{name}' is unknown; choose one of {', '.join(WINDOW_NAMES)} or give LO HI"
        )
    if name != "auto":
        return name
    return {"ct": "ct-abdomen", "oct": "as-is"}.get(modality, "foreground")


def check_window(rule: Mapping[str, Any] | str) -> None:
    """Refuse a window rule that cannot be measured on any volume.

    Raises:
        UsageError: the rule is unknown or its limits are in the wrong order.
    """
    data = {"rule": rule} if isinstance(rule, str) else rule
    if window_rule(str(data.get("rule", "auto")), "") == "fixed":
        _fixed(float(data["low"]), float(data["high"]))


def measure_window(
    volume: Volume, rule: Mapping[str, Any] | str = "auto", config: Config = DEFAULT
) -> IntensityWindow:
    """Measure the one window of a volume.

    rule: a name of WINDOW_NAMES, or {"rule": "fixed", "low": LO, "high": HI}.

    Raises:
        UsageError: the rule is unknown or its limits are in the wrong order.
    """
    data = {"rule": rule} if isinstance(rule, str) else dict(rule)
    name = window_rule(str(data.get("rule", "auto")), volume.modality)
    if name == "fixed":
        return _fixed(float(data["low"]), float(data["high"]))
    if name in CT_WINDOWS:
        return IntensityWindow(*CT_WINDOWS[name], name)
    if name == "as-is":
        return _as_is(volume)
    return _foreground(volume, config)


def _fixed(low: float, high: float) -> IntensityWindow:
    if not low < high:
        raise UsageError(f"intensity window {low:g} {high:g} is empty; give the lower limit first")
    return IntensityWindow(low, high, "fixed")


def _as_is(volume: Volume) -> IntensityWindow:
    """Keep the stored range: 0..255 for bytes, 0..1 for unit data, else 0..maximum."""
    highest = float(volume.voxels_kji.max())
    lowest = min(0.0, float(volume.voxels_kji.min()))
    top = 1.0 if highest <= 1 else 255.0 if highest <= 255 else highest
    return IntensityWindow(lowest, top, "as-is")


def _foreground(volume: Volume, config: Config) -> IntensityWindow:
    """Scale by the foreground: black is the background's level, white some medians above it: lesions keep contrast."""
    mask = foreground_mask(volume, config)
    voxels = volume.voxels_kji
    if not mask.any():
        lowest = float(voxels.min())
        return IntensityWindow(lowest, lowest + 1.0, "foreground")
    background = float(np.median(voxels[~mask])) if not mask.all() else float(np.percentile(voxels, 0.1))
    black = min(background, float(np.percentile(voxels, 5)))
    median = float(np.median(voxels[mask]))
    return IntensityWindow(black, black + config.window_medians * max(median - black, 1e-6), "foreground")
