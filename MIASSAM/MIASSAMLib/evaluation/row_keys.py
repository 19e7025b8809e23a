"""The rows of the results table: which method, with which prompt and mask."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from ..config import MaskChoice, PromptKind

PROMPTS: tuple[PromptKind, ...] = ("cog", "max", "box")
MASKS: tuple[MaskChoice, ...] = ("1", "2", "3", "auto")


@dataclass(frozen=True)
class RowKey:
    """One row.

    Attributes:
        method: "MIAS-SAM", or the baseline in words.
        preset: preset whose map and decoder it uses, "" for none.
        prompt, mask: how the decoder is asked; "" where it is not.
        map: name of the map its threshold-free figures belong to.
        is_oracle: the truth of the test cases was used, so it is a ceiling and no method.
    """

    method: str
    preset: str
    prompt: str
    mask: str
    map: str
    is_oracle: bool = False

    @property
    def text(self) -> str:
        """Key of the row in a record."""
        return "|".join((self.method, self.preset, self.prompt, self.mask))


BRIGHTNESS = "brightness"
SMOOTHED = "smoothed brightness"

NORMAL_QUANTILE = 0.995
Z_LEVEL = 2.0
SMOOTHED_Z_LEVEL = 1.5

ROW_OTSU = "map above Otsu's level"
ROW_QUANTILE = f"map above the {NORMAL_QUANTILE:.1%} quantile of held-out normal slices"
ROW_BEST = "map above the best level for the test set (oracle)"
ROW_BRIGHT = f"brightness z > {Z_LEVEL:g}"
ROW_LARGEST = f"brightness z > {Z_LEVEL:g}, largest component"
ROW_SMOOTHED = f"smoothed brightness z > {SMOOTHED_Z_LEVEL:g}"
ROW_SMOOTHED_SAM = "smoothed brightness as the map, decoded"
ROW_TRUTH_SAM = "smoothed truth as the map, decoded (oracle)"


def method_rows(presets: tuple[str, ...], prompts: tuple[str, ...], masks: tuple[str, ...]) -> list[RowKey]:
    """Return the rows of this program: presets x prompts x masks."""
    return [RowKey("MIAS-SAM", name, prompt, mask, name) for name, prompt, mask in product(presets, prompts, masks)]


def mask_baseline_rows(presets: tuple[str, ...]) -> list[RowKey]:
    """Return the baselines that make a mask for each case by itself."""
    rows = [RowKey(ROW_OTSU, name, "", "", name) for name in presets]
    rows += [RowKey(method, "", "", "", BRIGHTNESS) for method in (ROW_BRIGHT, ROW_LARGEST)]
    rows.append(RowKey(ROW_SMOOTHED, "", "", "", SMOOTHED))
    rows.append(RowKey(ROW_SMOOTHED_SAM, "", "cog", "3", SMOOTHED))
    rows.append(RowKey(ROW_TRUTH_SAM, "", "cog", "3", "", is_oracle=True))
    return rows


def level_baseline_rows(presets: tuple[str, ...]) -> list[RowKey]:
    """Return the baselines whose level comes from other cases, so that it is known only in the end."""
    rows = []
    for name in (*presets, SMOOTHED):
        preset = "" if name == SMOOTHED else name
        prefix = "smoothed brightness: " if name == SMOOTHED else ""
        rows.append(RowKey(prefix + ROW_QUANTILE, preset, "", "", name))
        rows.append(RowKey(prefix + ROW_BEST, preset, "", "", name, is_oracle=True))
    return rows
