"""Encode slices once and extract the patch features a bank stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy import ndimage

from ..arrays import BoolArray, FloatArray
from ..config import MAP_PX, Config, PaperConfig, RefinedConfig
from ..protocols import PatchSearcher, SamModel
from ..volume.slice_image import native_to_map
from .overlap import ahead, in_chunks
from .patches import intensity_statistics, patch_centers, patch_embeddings, patch_places
from .pockets import pocket_map
from .prepare import PreparedVolume

_SMALL_RASTER_BATCH = 8


@dataclass(frozen=True)
class EncodedSlice:
    """One slice after the encoder.

    Attributes:
        index: slice index along the plane's axis.
        embedding: image embedding (256, 64, 64) on the model's device, rounded to half precision.
        features: feature kind -> float32 (N, D).
        foreground: bool (256, 256) in the frame.
        contrasts: maps read off the image without a bank, float32 (256, 256), by name; none where no preset asks.
        depth: where the slice lies between the first and last with foreground, 0 to 1.
        pixel_mm: side of a native pixel (of the square of its area), 0 where it does not matter.
        is_bounded: whether only the foreground is compared, whatever the preset says.
    """

    index: int
    embedding: torch.Tensor
    features: Mapping[str, FloatArray]
    foreground: BoolArray
    contrasts: Mapping[str, FloatArray] = field(default_factory=dict)
    depth: float = 0.5
    pixel_mm: float = 0.0
    is_bounded: bool = False

    def is_compared_inside(self, config: Config) -> bool:
        """Tell whether only patches of the foreground count."""
        return self.is_bounded or not isinstance(config, PaperConfig) or config.foreground_only


def default_batch(model: SamModel) -> int:
    """Return how many slices to encode at once: many small rasters, few large ones."""
    if model.input_px <= MAP_PX:
        return _SMALL_RASTER_BATCH
    return 1 if model.device == "cpu" else 4


def encode_slices(
    model: SamModel, prepared: PreparedVolume, indexes: Sequence[int], config: Config, batch: int = 0
) -> Iterator[EncodedSlice]:
    """Encode slices in batches, one at a time to the caller.

    The next batch is prepared meanwhile; on a GPU it is encoded meanwhile, too. So memory holds up to
    three batches. When memory runs out the model takes less at once.
    """

    def prepare(chunk: list[int]) -> tuple[list[int], FloatArray]:
        return chunk, prepared.rasters(chunk, model.input_px, config)

    def encode(ready: tuple[list[int], FloatArray]) -> list[EncodedSlice]:
        chunk, rasters = ready
        embeddings = model.encode(rasters, prepared.content_boxes(len(chunk))).half().float()
        foregrounds = [prepared.foreground_map(index) for index in chunk]
        features = extract_features(embeddings, rasters, foregrounds, config)
        return [
            EncodedSlice(
                index,
                embeddings[row],
                {kind: rows[row] for kind, rows in features.items()},
                foregrounds[row],
                contrast_maps(prepared, index, rasters[row], config),
                prepared.depth(index),
                prepared.plane.pixel_mm,
                prepared.is_bounded,
            )
            for row, index in enumerate(chunk)
        ]

    chunks = ahead(in_chunks(indexes, batch or default_batch(model)), prepare, depth=1)
    for encoded in ahead(chunks, encode, depth=0 if model.device == "cpu" else 1):
        yield from encoded


def extract_features(
    embeddings: torch.Tensor, rasters: FloatArray, foregrounds: Sequence[BoolArray], config: Config
) -> dict[str, FloatArray]:
    """Return the patch features (B, N, D) of each kind the config names.

    The kind `intensity` is the intensity statistics and, with a place weight, where the patch lies
    in the foreground: brightness that is normal in bone is not normal in the liver.
    """
    found: dict[str, FloatArray] = {}
    for kind in config.features:
        if kind == "embedding":
            found[kind] = patch_embeddings(embeddings, config)
        elif kind == "intensity":
            assert isinstance(config, RefinedConfig)
            statistics = intensity_statistics(rasters, config)
            places = np.stack([patch_places(foreground) for foreground in foregrounds])
            weighted = places * np.float32(config.place_weight)
            found[kind] = np.concatenate([statistics, weighted], -1) if config.place_weight else statistics
    return found


def contrast_maps(prepared: PreparedVolume, index: int, raster: FloatArray, config: Config) -> dict[str, FloatArray]:
    """Return the maps of a slice that need no bank, float32 (256, 256), 0 outside the foreground.

    `brightness`, and for B-scans of OCT `fluid`. raster: (S, S), that of the slice.
    """
    if not isinstance(config, RefinedConfig):
        return {}
    maps = {"brightness": smoothed_brightness(raster, prepared.foreground_map(index), config)}
    if prepared.is_bscans and prepared.retinas:
        pockets = pocket_map(prepared.pixels(index), config, prepared.retinas[index])
        maps["fluid"] = native_to_map(pockets, prepared.frame)
    return maps


def smoothed_brightness(raster: FloatArray, foreground: BoolArray, config: RefinedConfig) -> FloatArray:
    """Return the Gaussian mean of the foreground's grey values, taken over the foreground only (256, 256).

    raster: float32 (S, S), S a multiple of 256. foreground: bool (256, 256).
    """
    ratio = len(raster) // MAP_PX
    small = raster.reshape(MAP_PX, ratio, MAP_PX, ratio).mean((1, 3))
    share = ndimage.gaussian_filter(foreground.astype(np.float32), config.brightness_sigma_px)
    mean = ndimage.gaussian_filter(np.where(foreground, small, 0).astype(np.float32), config.brightness_sigma_px)
    return np.where(foreground, mean / np.maximum(share, 1e-6), 0).astype(np.float32)


def foreground_patches(foreground: BoolArray, config: Config) -> BoolArray:
    """Return bool (N,): patches whose window touches the foreground.

    foreground: bool (256, 256). A window is `window_px` embedding cells of 4 map px.
    """
    reach = config.window_px * MAP_PX // 64
    touched = ndimage.maximum_filter(foreground, size=reach)
    centers = np.round(patch_centers(MAP_PX)).astype(int)
    return np.asarray(touched[np.ix_(centers, centers)].ravel())


def search_slice(encoded: EncodedSlice, bank: PatchSearcher, kind: str, config: Config) -> FloatArray:
    """Return squared distances (N,) of a slice's patches; 0 where the preset leaves out what is no foreground."""
    rows = encoded.features[kind]
    if not encoded.is_compared_inside(config):
        return bank.search(kind, rows)
    wanted = foreground_patches(encoded.foreground, config)
    distances = np.zeros(len(rows), np.float32)
    if wanted.any():
        distances[wanted] = bank.search(kind, rows[wanted])
    return distances
