"""Run the baselines of a case that need no bank."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import BoolArray, FloatArray
from ..config import PaperConfig
from ..method import EncodedSlice, encode_slices
from ..method.anomaly_map import normalize_map
from ..method.paper import SliceMap, native_masks, place_prompts
from ..protocols import Progress, SamModel, no_progress
from ..volume.slice_image import native_to_map
from .baselines import SIGMA_SHARE, largest_component, robust_z, smoothed_z
from .case_view import CaseView
from .record import CaseRecord
from .row_keys import (
    BRIGHTNESS,
    ROW_BRIGHT,
    ROW_LARGEST,
    ROW_SMOOTHED,
    ROW_SMOOTHED_SAM,
    ROW_TRUTH_SAM,
    SMOOTHED,
    SMOOTHED_Z_LEVEL,
    Z_LEVEL,
    RowKey,
)


def observe_baselines(
    model: SamModel | None, view: CaseView, config: PaperConfig, progress: Progress = no_progress
) -> CaseRecord:
    """Return the record of the brightness baselines and of the decoder's ceilings.

    model: None leaves the decoder's rows out.
    config: the paper's, for its point rule; the dense prompt is off, so that only the point speaks.
    """
    z = view.stack(robust_z(view.prepared.volume.voxels_kji, view.prepared.foreground_kji))
    smooth = smoothed_z(z, view.organ)
    bright = (z > Z_LEVEL) & view.organ
    masks = {ROW_BRIGHT: bright, ROW_LARGEST: largest_component(bright)}
    masks[ROW_SMOOTHED] = (smooth > SMOOTHED_Z_LEVEL) & view.organ
    if model is not None:
        masks[ROW_SMOOTHED_SAM], masks[ROW_TRUTH_SAM] = _decoded(model, view, config, smooth, progress)
    maps = {BRIGHTNESS: z, SMOOTHED: smooth}
    return view.record(
        {name: view.map_record(values, [float(one.max()) for one in values]) for name, values in maps.items()},
        {_key(name): view.mask_record(mask) for name, mask in masks.items()},
    )


def _key(method: str) -> str:
    is_decoded = method in (ROW_SMOOTHED_SAM, ROW_TRUTH_SAM)
    return RowKey(method, "", "cog" if is_decoded else "", "3" if is_decoded else "", "").text


def _decoded(
    model: SamModel, view: CaseView, config: PaperConfig, smooth: FloatArray, progress: Progress
) -> tuple[BoolArray, BoolArray]:
    """Decode the smoothed brightness of each slice and, as a ceiling, the smoothed truth."""
    by_brightness, by_truth = np.zeros_like(view.truth), np.zeros_like(view.truth)
    sigma = SIGMA_SHARE * max(view.truth.shape[1:])
    indexes = [int(index) for index in view.slices]
    for n, encoded in enumerate(encode_slices(model, view.prepared, indexes, config)):
        by_brightness[n] = _third_mask(model, view, encoded, smooth[n], config)
        if view.truth[n].any():
            truth = ndimage.gaussian_filter(view.truth[n].astype(np.float32), sigma)
            by_truth[n] = _third_mask(model, view, encoded, truth, config)
        progress(f"baselines: {view.case.name}", n + 1, len(indexes))
    return by_brightness, by_truth


def _third_mask(
    model: SamModel, view: CaseView, encoded: EncodedSlice, values: FloatArray, config: PaperConfig
) -> BoolArray:
    normalized = native_to_map(normalize_map(values), view.prepared.frame)
    placed = place_prompts(SliceMap(normalized, normalized, 0.0), view.prepared, config, "cog")
    if placed is None:
        return np.zeros(values.shape, bool)
    decoded = model.decode(encoded.embedding, placed.prompts)
    return np.asarray(native_masks(decoded, view.prepared)[2])
