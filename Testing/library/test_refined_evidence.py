"""What speaks for a mask, and how closer looks find their way back."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.config import preset
from MIASSAMLib.method.evidence import Witness, dice, edge_contrast
from MIASSAMLib.method.outline import keep_parts
from MIASSAMLib.method.view import View, Window, closer_windows, encode_windows, whole_view
from MIASSAMLib.volume import SliceFrame
from scipy import ndimage

SIDE = 256
REFINED = preset("refined")


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE))
    return (columns - x) ** 2 + (rows - y) ** 2 <= radius**2


def witness(lesion: np.ndarray, cluster: np.ndarray, others: tuple = ()) -> Witness:
    raster = 0.3 + 0.4 * lesion + np.random.default_rng(0).normal(0, 0.02, (SIDE, SIDE))
    values = 10 * ndimage.gaussian_filter(cluster.astype(float), 4)
    return Witness(raster.astype(np.float32), values.astype(np.float32), cluster, others, REFINED)


def test_a_small_lesion_is_preferred_to_the_blur_of_the_map():
    lesion, cluster = disk(100, 100, 6), disk(100, 100, 18)
    judge = witness(lesion, cluster, (lesion, cluster))
    assert judge.judge(lesion).score > judge.judge(cluster).score
    assert judge.judge(lesion).agreement < judge.judge(cluster).agreement


def test_of_a_large_lesion_the_part_is_not_preferred():
    lesion = disk(120, 120, 45)
    judge = witness(lesion, lesion, (lesion,))
    assert judge.judge(lesion).score > judge.judge(disk(120, 120, 20)).score


def test_a_whole_organ_loses_and_an_empty_mask_scores_nothing():
    lesion = disk(100, 100, 10)
    judge = witness(lesion, disk(100, 100, 16), (lesion,))
    organ = judge.judge(disk(128, 128, 90))
    assert organ.score < 0.2 * judge.judge(lesion).score
    assert organ.inside < 0.1
    assert judge.judge(np.zeros((SIDE, SIDE), bool)).score == 0


def test_consensus_counts():
    lesion = disk(100, 100, 10)
    alone = witness(lesion, lesion, (disk(140, 100, 10),)).judge(lesion)
    shared = witness(lesion, lesion, (lesion,)).judge(lesion)
    assert alone.consensus == 0
    assert shared.consensus == 1


def test_a_mask_is_not_compared_with_itself():
    lesion, other = disk(100, 100, 10), disk(140, 100, 10)
    judge = witness(lesion, lesion, (lesion, other))
    assert judge.judge(lesion, own=0).consensus == 0
    assert judge.judge(lesion).consensus == 0.5


def test_contrast_is_of_the_edge_and_does_not_care_for_sign():
    raster = np.where(disk(100, 100, 10), 0.7, 0.3).astype(np.float32)
    assert edge_contrast(raster, disk(100, 100, 10), 4) > 1.5
    np.testing.assert_allclose(
        edge_contrast(raster, disk(100, 100, 10), 4), edge_contrast(1 - raster, disk(100, 100, 10), 4), rtol=1e-4
    )
    assert edge_contrast(raster, disk(180, 100, 10), 4) == 0
    assert edge_contrast(raster, np.ones((SIDE, SIDE), bool), 4) == 0


def test_parts_away_from_the_cluster_are_dropped_and_one_part_is_kept():
    both, nowhere = disk(60, 60, 8) | disk(160, 160, 8), np.zeros((0, 2))
    np.testing.assert_array_equal(keep_parts(both, disk(60, 60, 3), nowhere, 0.1), disk(60, 60, 8))
    np.testing.assert_array_equal(keep_parts(disk(60, 60, 8), disk(160, 160, 3), nowhere, 0.1), disk(60, 60, 8))


def test_specks_beside_the_largest_part_are_dropped_unless_they_were_pointed_at():
    large, small, speck = disk(60, 60, 8), disk(80, 60, 4), disk(60, 80, 1)
    mask, anchor = large | small | speck, disk(65, 65, 40)
    np.testing.assert_array_equal(keep_parts(mask, anchor, np.zeros((0, 2)), 0.1), large | small)
    np.testing.assert_array_equal(keep_parts(mask, anchor, np.array([[60.0, 80.0]]), 0.1), mask)
    np.testing.assert_array_equal(keep_parts(mask, anchor, np.zeros((0, 2)), 0.0), mask)


def test_a_mask_in_a_window_lies_where_the_window_was_cut():
    frame, corner = SliceFrame.crop((200, 180), np.array([120.0, 50.0]), 64)
    view = View(Window("zoom", frame, corner), (200, 180), None)
    native = np.array([120.0, 50.0])
    x, y = np.asarray(view.to_frame_xy(native)) / 4
    rows, columns = np.indices((SIDE, SIDE))
    mask = view.native_mask((20 - np.hypot(columns - x, rows - y)).astype(np.float32))
    center = np.array(ndimage.center_of_mass(mask))[::-1]
    np.testing.assert_allclose(center, native, atol=0.6)
    np.testing.assert_allclose(np.sqrt(mask.sum() / np.pi), 20 * 64 / 256, atol=0.5)


class CountingModel:
    """Encodes nothing, but remembers what it was shown."""

    input_px = 256

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def encode(self, rasters, content_boxes=None):
        self.shown += list(rasters)
        return np.zeros((len(rasters), 256, 64, 64), np.float32)


def test_small_clusters_are_looked_at_closer_and_large_ones_are_not():
    config = preset("refined")
    pixels = disk(60, 200, 4)[:, :200].astype(np.float32)
    model = CountingModel()
    views = encode_windows(model, pixels, closer_windows(pixels.shape, pixels > 0, config))
    assert len(views) == len(config.zoom) == len(model.shown)
    assert all(raster.mean() > 0.02 for raster in model.shown), "the lesion is not in the window"
    large = disk(100, 128, 80)[:, :200]
    assert not closer_windows(pixels.shape, large, config)
    assert not closer_windows(pixels.shape, pixels > 0, preset("refined:zoom=off"))
    assert not closer_windows(pixels.shape, np.zeros_like(large), config)


def test_the_whole_view_is_the_slice():
    frame = SliceFrame.fit((100, 80))
    view = whole_view(frame, None)
    np.testing.assert_allclose(view.to_frame_xy([10.0, 20.0]), frame.to_frame_xy([10.0, 20.0]))
    assert view.native_mask(np.ones((SIDE, SIDE), np.float32)).shape == (100, 80)


def test_dice_of_nothing_is_nothing():
    nothing = np.zeros((4, 4), bool)
    assert dice(nothing, nothing) == 0
