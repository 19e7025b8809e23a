"""The slice frame: exact and invertible, at 1024 and at 256."""

from __future__ import annotations

import numpy as np
import pytest
from MIASSAMLib.volume import SliceFrame
from MIASSAMLib.volume.slice_image import frame_to_native, map_to_frame_xy, native_to_map, render_raster

SHAPES = [(256, 256), (240, 240), (192, 256), (496, 768), (37, 101), (1, 64), (2000, 300)]


@pytest.mark.parametrize("shape", SHAPES)
def test_points_come_back_exactly(shape):
    frame = SliceFrame.fit(shape)
    points = np.random.default_rng(0).uniform(0, 1, (50, 2)) * (shape[1], shape[0])
    np.testing.assert_allclose(frame.to_native_xy(frame.to_frame_xy(points)), points, atol=1e-9)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_content_box_is_exact_at_256(shape):
    frame = SliceFrame.fit(shape)
    assert all(value % 4 == 0 for value in frame.content_tlhw)
    top, left, height, width = frame.content_tlhw
    assert max(height, width) == 1024 and top + height <= 1024 and left + width <= 1024
    assert abs(top - (1024 - height) / 2) < 4 and abs(left - (1024 - width) / 2) < 4


@pytest.mark.parametrize("shape", [(256, 256), (240, 200), (300, 420)])
def test_a_disk_stays_in_its_place_through_frame_and_back(shape):
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    center_xy, radius = np.array([shape[1] * 0.7, shape[0] * 0.3]), 20
    disk = ((columns - center_xy[0]) ** 2 + (rows - center_xy[1]) ** 2 <= radius**2).astype(np.float32)
    frame = SliceFrame.fit(shape)
    raster = render_raster(disk, frame, 256)
    ys, xs = np.mgrid[:256, :256]
    seen = np.array([(raster * xs).sum(), (raster * ys).sum()]) / raster.sum()
    np.testing.assert_allclose(frame.to_native_xy(map_to_frame_xy(seen)), center_xy, atol=0.2)
    back = frame_to_native(raster * 2 - 1, frame) > 0
    dice = 2 * (back & (disk > 0)).sum() / (back.sum() + disk.sum())
    assert dice > 0.97
    np.testing.assert_allclose([np.mean(np.nonzero(back)[1]), np.mean(np.nonzero(back)[0])], center_xy, atol=0.3)


def test_a_raster_is_black_outside_the_slice():
    frame = SliceFrame.fit((100, 200))
    raster = render_raster(np.ones((100, 200), np.float32), frame, 1024)
    assert raster[:256].max() == 0 and raster[768:].max() == 0 and raster[256:768].min() == 1


def test_a_crop_is_moved_inside_the_slice():
    frame, (top, left) = SliceFrame.crop((200, 300), (295, 3), 64)
    assert (top, left) == (0, 236) and frame.shape_yx == (64, 64)


def test_physical_aspect_stretches_thick_rows():
    assert SliceFrame.fit((50, 200), aspect=4.0).content_tlhw == (0, 0, 1024, 1024)


def test_half_covered_pixels_count_half():
    mask = np.zeros((512, 512), bool)
    mask[:, :1] = True
    assert 0.3 < native_to_map(mask, SliceFrame.fit((512, 512)))[100, 0] < 0.7
