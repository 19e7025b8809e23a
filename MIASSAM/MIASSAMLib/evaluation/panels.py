"""Small pictures of a few slices of a case, kept for the figure sheet."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import Config
from ..volume.slice_image import native_to_map
from .case_view import CaseView
from .metrics import dice
from .observe import Asked, Observation

TITLES = ("input and CoG", "truth", "anomaly map", "mask 1", "mask 3", "chosen mask")
"""Columns of the sheet, as in the paper's Figure 2."""

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 1.0)


def choose_row(config: Config, asked: Asked) -> tuple[str, str]:
    """Return the prompt and mask a preset chooses by itself, or the first that was asked."""
    prompt = config.prompt if config.prompt in asked.prompts else asked.prompts[0]
    mask = config.mask if config.mask in asked.masks else asked.masks[0]
    return prompt, mask


def make_panels(
    view: CaseView, seen: Observation, chosen: tuple[str, str]
) -> tuple[dict[str, AnyArray], dict[str, dict[str, Any]]]:
    """Return pictures uint8 (6, h, w) by slice index, and the Dice and CoG of each.

    The slices are those at the quartiles of the case's own Dice.
    """
    prompt, mask = chosen
    sick = np.flatnonzero(view.truth.any((1, 2)))
    if not len(sick):
        return {}, {}
    picked = seen.masks.get(prompt, mask)
    axes = (1, 2)
    scores = dice(*(np.count_nonzero(one[sick], axis=axes) for one in (picked & view.truth, picked, view.truth)))
    order = np.argsort(scores, kind="stable")
    wanted = sorted({int(order[round(q * (len(order) - 1))]) for q in _QUANTILES})
    masks = (seen.masks.get(prompt, "1"), seen.masks.get(prompt, "3"), picked)
    top = float(seen.heat[view.organ].max()) if view.organ.any() else 1.0
    pictures, facts = {}, {}
    for n in wanted:
        position = int(sick[n])
        index = str(int(view.slices[position]))
        pictures[index] = _pictures(view, seen.heat, top, position, masks)
        facts[index] = {"dice": float(scores[n]), "cog": _cog(view, seen.points_xy[prompt][position])}
    return pictures, facts


def _pictures(view: CaseView, heat: FloatArray, top: float, position: int, masks: tuple[BoolArray, ...]) -> AnyArray:
    low = float(heat[position].min())
    scaled = (heat[position] - low) / max(top - low, 1e-9)
    grey = view.prepared.pixels(int(view.slices[position]))
    planes = [grey, view.truth[position], scaled, *(mask[position] for mask in masks)]
    framed = np.stack([native_to_map(np.asarray(plane, np.float32), view.prepared.frame) for plane in planes])
    rows, columns = view.prepared.frame.content_slices(256)
    return np.asarray(np.round(np.clip(framed[:, rows, columns], 0, 1) * 255), np.uint8)


def _cog(view: CaseView, native_xy: AnyArray) -> list[float] | None:
    """Return the point in px of the picture, None where there is none."""
    if not np.isfinite(native_xy).all():
        return None
    rows, columns = view.prepared.frame.content_slices(256)
    frame_xy = view.prepared.frame.to_frame_xy(native_xy) / 4.0
    return [float(frame_xy[0]) - columns.start, float(frame_xy[1]) - rows.start]
