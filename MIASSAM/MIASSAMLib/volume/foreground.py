"""Which voxels belong to the patient rather than to air, padding or a constant background."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ..arrays import BoolArray, FloatArray
from ..config import DEFAULT, Config
from .retina import RetinaSlice, find_retinas, retina_mask
from .volume import Volume

_HISTOGRAM_BINS = 512


def foreground_mask(
    volume: Volume, config: Config = DEFAULT, retinas: Sequence[RetinaSlice] | None = None
) -> BoolArray:
    """Return bool (K, J, I): voxels of the patient.

    CT: above air. Skull-stripped or padded data (a constant background): above the minimum. OCT: the retina
    (everything when there is none). Otherwise: above a share of Otsu's level, so that dark tissue stays and the noise
    of air goes; holes are filled.

    retinas: those of an OCT volume, where they are known already.
    """
    voxels = volume.voxels_kji
    if volume.modality == "oct":
        retina = retina_mask(volume, find_retinas(volume, config) if retinas is None else retinas)
        return retina if retina.any() else np.ones(volume.shape_kji, bool)
    if volume.modality == "ct":
        return np.asarray(voxels > config.air_hu)
    lowest = float(voxels.min())
    if voxels.max() == lowest:
        return np.zeros(voxels.shape, bool)
    if _has_constant_background(voxels, lowest, config):
        return np.asarray(voxels > lowest)
    level = lowest + config.otsu_share * (otsu_level(voxels) - lowest)
    return _solid(voxels > level, config.speck_share)


def _has_constant_background(voxels: FloatArray, lowest: float, config: Config) -> bool:
    """Tell a constant background from noisy air, whose voxels crowd just above the minimum."""
    above = voxels[voxels > lowest]
    if 1 - above.size / voxels.size <= config.constant_share:
        return False
    near = lowest + config.near_share * (float(np.percentile(above, 99)) - lowest)
    return float((above < near).mean()) < config.few_share


def otsu_level(values: FloatArray) -> float:
    """Return Otsu's level of the values, from a histogram between the 0.1 and 99.9 percentiles."""
    low, high = np.percentile(values, [0.1, 99.9])
    if high <= low:
        return float(low)
    counts, edges = np.histogram(np.clip(values, low, high), bins=_HISTOGRAM_BINS)
    centers = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centers)
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = sums / below - (sums[-1] - sums) / above
    between = np.where((below > 0) & (above > 0), below * above * gap**2, 0.0)
    return float(edges[int(np.argmax(between)) + 1])


def _solid(mask: BoolArray, speck_share: float) -> BoolArray:
    """Drop specks and fill what is enclosed in any plane, whatever the order of the storage axes."""
    labels, count = ndimage.label(mask)
    if count > 1:
        sizes = np.bincount(labels.ravel())[1:]
        mask = (np.concatenate([[False], sizes >= speck_share * sizes.max()]))[labels]
    filled = mask.copy()
    for axis in range(3):
        for plane, out in zip(np.moveaxis(mask, axis, 0), np.moveaxis(filled, axis, 0), strict=True):
            out |= ndimage.binary_fill_holes(plane)
    return filled
