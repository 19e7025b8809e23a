"""The rows of metrics.json: which method with which prompt and mask, every figure of it, its interval by group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..arrays import DoubleArray
from .counting import COLUMNS
from .pooling import (
    MASK_FIGURES,
    NORMAL_QUANTILE,
    GroupSums,
    MapPool,
    Pool,
    group_tables,
    image_tables,
)
from .ranking import Estimate, aupro, auroc, average_precision, percentile_interval


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


NO_BANK, ALL_CONTRASTS = "no bank", ", all contrasts"
"""What stands for the preset of rows without a bank, and behind it in rows that join contrasts."""


def preset_name_of(name: str) -> str:
    """Return the preset that rows of a name are made with."""
    return "refined" if name.startswith(NO_BANK) else name.removesuffix(ALL_CONTRASTS)


BRIGHTNESS, SMOOTHED = "brightness", "smoothed brightness"
DARKNESS, SMOOTHED_DARK = "darkness", "smoothed darkness"
"""Maps that need no bank; darkness is brightness with its sign turned."""
SIMPLE_MAPS = (BRIGHTNESS, SMOOTHED, DARKNESS, SMOOTHED_DARK)
Z_LEVEL = 2.0
SMOOTHED_Z_LEVEL = 1.5

OTSU = "map above Otsu's level"
QUANTILE = f"map above the {NORMAL_QUANTILE:.1%} quantile of held-out normal slices"
BEST = "map above the best level for the test set (oracle)"
SMOOTHED_SAM = RowKey("smoothed brightness as the map, decoded", "", "cog", "3", SMOOTHED)
TRUTH_SAM = RowKey("smoothed truth as the map, decoded (oracle)", "", "cog", "3", "", is_oracle=True)
CLICK = "click at the most interior point of each true lesion"
CEILING = RowKey(f"{CLICK}, outlined (oracle)", "", "", "auto", "", True)
BEST_MASKS = RowKey(f"{CLICK}, the best of all its masks (oracle)", "", "", "", "", True)


def simple_row(of_map: str, largest: bool = False) -> RowKey:
    """Return the row of a brightness map above its fixed level."""
    level = Z_LEVEL if of_map in (BRIGHTNESS, DARKNESS) else SMOOTHED_Z_LEVEL
    word = of_map.replace("darkness", "brightness")
    beyond = f"z > {level:g}" if word == of_map else f"z < -{level:g}"
    return RowKey(f"{word} {beyond}{', largest component' if largest else ''}", "", "", "", of_map)


def method_rows(presets: Sequence[str], prompts: Sequence[str], masks: Sequence[str]) -> list[RowKey]:
    """Return the rows of this program: presets x prompts x masks."""
    return [RowKey("MIAS-SAM", name, prompt, mask, name) for name, prompt, mask in product(presets, prompts, masks)]


def mask_baseline_rows(presets: Sequence[str]) -> list[RowKey]:
    """Return the baselines that make a mask for each case by itself."""
    rows = [RowKey(OTSU, name, "", "", name) for name in presets]
    for sharp, smooth in ((BRIGHTNESS, SMOOTHED), (DARKNESS, SMOOTHED_DARK)):
        rows += [simple_row(sharp), simple_row(sharp, largest=True), simple_row(smooth)]
    return [*rows, SMOOTHED_SAM, TRUTH_SAM, CEILING, BEST_MASKS]


def level_baseline_rows(presets: Sequence[str]) -> list[RowKey]:
    """Return the baselines whose level comes from other cases, so that it is known only in the end."""
    rows = []
    for name in (*presets, SMOOTHED):
        preset, prefix = ("", "smoothed brightness: ") if name == SMOOTHED else (name, "")
        rows.append(RowKey(prefix + QUANTILE, preset, "", "", name))
        rows.append(RowKey(prefix + BEST, preset, "", "", name, is_oracle=True))
    return rows


MAP_FIGURES = ("p_auroc", "p_auroc_foreground", "p_ap", "aupro", "image_auroc")

Interval = list[float] | None


def make_rows(pool: Pool, keys: list[RowKey], model: str) -> list[dict[str, Any]]:
    """Return a row for each key that was measured; undefined figures are None."""
    maps = {name: _map_figures(one, pool.groups) for name, one in pool.maps.items() if one.images}
    return [_row(pool, key, model, maps.get(key.map)) for key in keys if key.text in pool.masks]


def _row(pool: Pool, key: RowKey, model: str, of_map: dict[str, Any] | None) -> dict[str, Any]:
    of_map = of_map or {"values": dict.fromkeys(MAP_FIGURES), "intervals": {}, "bounds": {}}
    sums = pool.masks[key.text].sums
    values = of_map["values"] | {name: _ratio(sums[name]) for name in MASK_FIGURES}
    intervals = {name: _ratio_interval(sums[name]) for name in MASK_FIGURES}
    return {
        "method": key.method,
        "preset": key.preset,
        "prompt": key.prompt,
        "mask": key.mask,
        "model": model if key.method == "MIAS-SAM" or key.preset or key.mask else "",
        **values,
        "n_slices": pool.n_slices,
        "n_anomalous": pool.n_anomalous,
        "n_groups": len(pool.groups),
        "n_cases": pool.n_cases,
        "is_oracle": key.is_oracle,
        "dice_by_volume": pool.masks[key.text].volumes,
        "intervals_95": of_map["intervals"] | intervals,
        "binning_error_bounds": of_map["bounds"],
    }


def _map_figures(pool: MapPool, groups: list[str]) -> dict[str, Any]:
    """Return values, intervals and error bounds of the figures that need no level."""
    sparse = pool.pooled.sparse()
    estimates = _estimates(sparse.counts, np.array(float(sparse.n_regions)))
    images = image_tables(pool, groups)
    values = {name: one.value for name, one in estimates.items()}
    values["image_auroc"] = auroc(*(table.sum(0) for table in images)).value
    return {
        "values": {name: _number(float(value)) for name, value in values.items()},
        "intervals": _map_intervals(pool, groups) | {"image_auroc": _image_interval(*images)},
        "bounds": {name: _number(float(one.error_bound)) for name, one in estimates.items()},
    }


def _estimates(counts: DoubleArray, n_regions: DoubleArray) -> dict[str, Estimate]:
    """Return the map figures of counts (..., U, 5)."""
    column = {name: counts[..., n] for n, name in enumerate(COLUMNS)}
    normal, anomalous = column["normal"], column["anomalous"]
    return {
        "p_auroc": auroc(normal, anomalous),
        "p_auroc_foreground": auroc(column["normal_inside"], column["anomalous_inside"]),
        "p_ap": average_precision(normal, anomalous),
        "aupro": aupro(normal, column["region_weight"], n_regions),
    }


def _map_intervals(pool: MapPool, groups: list[str]) -> dict[str, Interval]:
    table, regions = group_tables(pool, groups)
    flat = table.reshape(len(groups), -1)

    def figures(weights: DoubleArray) -> DoubleArray:
        counts = (weights.astype(np.float32) @ flat).astype(float).reshape(len(weights), *table.shape[1:])
        return np.stack([one.value for one in _estimates(counts, weights @ regions).values()], -1)

    intervals = percentile_interval(figures, len(groups))
    return dict(zip(MAP_FIGURES[:4], intervals or [None] * 4))


def _image_interval(normal: DoubleArray, anomalous: DoubleArray) -> Interval:
    found = percentile_interval(lambda drawn: auroc(drawn @ normal, drawn @ anomalous).value[:, None], len(normal))
    return found[0] if found else None


def _ratio(sums: GroupSums) -> float | None:
    bottom = sum(sums.bottom.values())
    return sum(sums.top.values()) / bottom if bottom else None


def _ratio_interval(sums: GroupSums) -> Interval:
    top, bottom = (np.array(list(part.values()), float) for part in (sums.top, sums.bottom))

    def ratio(weights: DoubleArray) -> DoubleArray:
        below = weights @ bottom
        ratios = np.divide(weights @ top, below, out=np.full(len(below), np.nan), where=below > 0)
        return np.asarray(ratios[:, None])

    found = percentile_interval(ratio, len(top))
    return found[0] if found else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
