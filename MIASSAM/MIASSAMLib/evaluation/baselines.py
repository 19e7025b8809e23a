"""Rows that need no bank: brightness of either sign, levels taken from a map itself, and the decoder's ceilings."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray, BoolArray, FloatArray
from ..config import PaperConfig, RefinedConfig, preset
from ..method import EncodedSlice, encode_slices
from ..method.anomaly_map import normalize_map
from ..method.evidence import dice
from ..method.outline import Target, candidates_of, choose
from ..method.paper import SliceMap, native_masks, place_prompts
from ..method.prompts import UserPrompts
from ..protocols import Progress, SamModel, no_progress
from ..volume.slice_image import native_to_map
from .case_view import CaseView
from .counting import label_regions
from .record import CaseRecord
from .rows import (
    BEST_MASKS,
    BRIGHTNESS,
    CEILING,
    DARKNESS,
    SMOOTHED,
    SMOOTHED_DARK,
    SMOOTHED_SAM,
    SMOOTHED_Z_LEVEL,
    TRUTH_SAM,
    Z_LEVEL,
    RowKey,
    simple_row,
)

_MAD_TO_SIGMA = 1.4826
SIGMA_SHARE = 4.0 / 256.0
"""Smoothing of the brightness baseline: the paper's 4 px of 256, as a share of the slice's longer side."""
_LEVELS = 512


def robust_z(voxels_kji: FloatArray, organ_kji: BoolArray, sign: int = 1) -> FloatArray:
    """Return sign * (x - median) / (1.4826 MAD) of the case's own organ; its lowest value elsewhere."""
    inside = voxels_kji[organ_kji]
    if not len(inside):
        return np.zeros_like(voxels_kji)
    median = np.median(inside)
    spread = _MAD_TO_SIGMA * np.median(np.abs(inside - median)) or float(inside.std()) or 1.0
    z = (sign * (voxels_kji - median) / spread).astype(np.float32)
    return np.where(organ_kji, z, z[organ_kji].min())


def smoothed_z(z_slices: FloatArray, organ_slices: BoolArray) -> FloatArray:
    """Smooth z within each slice, over organ pixels only; the lowest value elsewhere. Shapes (S, H, W)."""
    sigma = (0, *(SIGMA_SHARE * max(z_slices.shape[1:]),) * 2)
    weight = ndimage.gaussian_filter(organ_slices.astype(np.float32), sigma)
    smooth = ndimage.gaussian_filter(np.where(organ_slices, z_slices, 0).astype(np.float32), sigma)
    inside = smooth / np.maximum(weight, 1e-6)
    lowest = float(inside[organ_slices].min()) if organ_slices.any() else 0.0
    return np.asarray(np.where(organ_slices, inside, lowest), np.float32)


def largest_component(mask: BoolArray) -> BoolArray:
    """Keep the largest connected part of (K, J, I); touching at a corner connects."""
    labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])))


def otsu_mask(values: FloatArray, organ: BoolArray) -> BoolArray:
    """Cut a case's map at Otsu's level inside the organ; empty when it is constant there."""
    inside = values[organ]
    if not len(inside) or inside.max() <= inside.min():
        return np.zeros(values.shape, bool)
    return np.asarray((values > _otsu_level(inside)) & organ)


def _otsu_level(values: AnyArray) -> float:
    counts, edges = np.histogram(values, bins=_LEVELS)
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)[:-1]
    above = len(values) - below
    sums = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums[:-1] / below - (sums[-1] - sums[:-1]) / above
    between = np.where((below > 0) & (above > 0), below * above * gap**2, 0.0)
    return float(edges[1 + int(np.argmax(between))])


def observe_baselines(
    model: SamModel | None, view: CaseView, config: PaperConfig, progress: Progress = no_progress
) -> CaseRecord:
    """Return the record of brightness of either sign and of the decoder's ceilings.

    model: None leaves the decoder's rows out.
    config: the paper's, for its point rule; the dense prompt is off, so that only the point speaks.
    """
    maps: dict[str, FloatArray] = {}
    masks: dict[RowKey, BoolArray] = {}
    for sign, sharp, smooth in ((1, BRIGHTNESS, SMOOTHED), (-1, DARKNESS, SMOOTHED_DARK)):
        maps[sharp] = z = view.stack(robust_z(view.prepared.volume.voxels_kji, view.prepared.foreground_kji, sign))
        maps[smooth] = smoothed_z(z, view.organ)
        marked = (z > Z_LEVEL) & view.organ
        masks[simple_row(sharp)] = marked
        masks[simple_row(sharp, largest=True)] = largest_component(marked)
        masks[simple_row(smooth)] = (maps[smooth] > SMOOTHED_Z_LEVEL) & view.organ
    if model is not None:
        masks |= _decoded(model, view, config, maps[SMOOTHED], progress)
    return view.record(
        {name: view.map_record(values, [float(one.max()) for one in values]) for name, values in maps.items()},
        {row.text: view.mask_record(mask) for row, mask in masks.items()},
    )


def _decoded(
    model: SamModel, view: CaseView, config: PaperConfig, smooth: FloatArray, progress: Progress
) -> dict[RowKey, BoolArray]:
    """Decode the smoothed brightness of each slice; as ceilings the smoothed truth and points inside the truth."""
    found = {row: np.zeros_like(view.truth) for row in (SMOOTHED_SAM, TRUTH_SAM, CEILING, BEST_MASKS)}
    sigma = SIGMA_SHARE * max(view.truth.shape[1:])
    indexes = [int(index) for index in view.slices]
    for n, encoded in enumerate(encode_slices(model, view.prepared, indexes, config)):
        found[SMOOTHED_SAM][n] = _third_mask(model, view, encoded, smooth[n], config)
        if view.truth[n].any():
            truth = ndimage.gaussian_filter(view.truth[n].astype(np.float32), sigma)
            found[TRUTH_SAM][n] = _third_mask(model, view, encoded, truth, config)
            found[CEILING][n], found[BEST_MASKS][n] = _clicked(model, view, encoded, view.truth[n])
        progress(f"baselines: {view.case.name}", n + 1, len(indexes))
    return found


def _third_mask(
    model: SamModel, view: CaseView, encoded: EncodedSlice, values: FloatArray, config: PaperConfig
) -> BoolArray:
    normalized = native_to_map(normalize_map(values), view.prepared.frame)
    placed = place_prompts(SliceMap(normalized, normalized, 0.0), view.prepared, config, "cog")
    if placed is None:
        return np.zeros(values.shape, bool)
    decoded = model.decode(encoded.embedding, placed.prompts)
    return np.asarray(native_masks(decoded, view.prepared)[2])


def interior_points(truth: BoolArray) -> FloatArray:
    """Return the most interior point x, y (P, 2) of every connected part of a mask (H, W), native px."""
    labels, n_parts = label_regions(truth)
    depth = ndimage.distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
    places = ndimage.maximum_position(depth, labels, np.arange(1, n_parts + 1))
    return np.array([(x, y) for y, x in places], np.float32).reshape(-1, 2)


def _clicked(model: SamModel, view: CaseView, encoded: EncodedSlice, truth: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Click into each lesion of a slice as a user does; unite what the program takes, and the best there is (H, W)."""
    config = preset("refined")
    assert isinstance(config, RefinedConfig)
    points = [UserPrompts.inside_at(xy) for xy in interior_points(truth)]
    targets = [Target.at(view.prepared, encoded.index, point, encoded.embedding) for point in points]
    taken, best = np.zeros_like(truth), np.zeros_like(truth)
    labels, _ = label_regions(truth)
    for number, (target, masks) in enumerate(zip(targets, candidates_of(model, targets, config), strict=True), 1):
        taken |= choose(masks, target, config, "auto").mask
        lesion = labels == number
        best |= max((one.mask for one in masks), key=lambda mask: dice(mask, lesion))
    return taken, best
