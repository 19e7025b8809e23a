"""One intensity window per volume, the same rule for the bank and the volume under test."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from MIASSAMLib.config import DEFAULT
from MIASSAMLib.errors import UsageError
from MIASSAMLib.volume import Volume, foreground_mask, measure_window


def head(background: float = 0.0, scale: float = 100.0, lesion: bool = False, noise: float = 0.0) -> Volume:
    """A ball of tissue in air."""
    rng = np.random.default_rng(3)
    k, j, i = np.mgrid[:16, :64, :64]
    tissue = ((j - 32) ** 2 + (i - 32) ** 2 < 24**2) & (k > 1)
    voxels = np.where(tissue, background + scale * rng.normal(1, 0.1, tissue.shape), background)
    voxels = voxels + np.abs(rng.normal(0, noise * scale, voxels.shape)) if noise else voxels
    if lesion:
        voxels[8, 28:40, 28:40] = background + 2.5 * scale
    return Volume(voxels.astype(np.float32), np.eye(4), modality="mri")


@pytest.mark.parametrize(("background", "scale"), [(0, 100), (-3.6, 3.5), (0, 0.02), (-1000, 900)])
def test_tissue_lies_at_a_third_whatever_the_units(background, scale):
    volume = head(background, scale)
    window = measure_window(volume)
    tissue = window.apply(volume.voxels_kji)[foreground_mask(volume)]
    assert np.median(tissue) == pytest.approx(1 / 3, abs=0.01)


def test_a_bright_lesion_does_not_change_how_normal_slices_look():
    plain, ill = head(), head(lesion=True)
    assert measure_window(ill).high == pytest.approx(measure_window(plain).high, rel=0.01)


def test_noisy_air_is_not_foreground():
    volume = head(noise=0.03)
    share = foreground_mask(volume)[2:].mean()
    assert share == pytest.approx(np.pi * 24**2 / 64**2, rel=0.05)


def test_a_skull_stripped_volume_keeps_its_dark_voxels():
    volume = head(-3.6, 3.5)
    volume.voxels_kji[8, 30, 30] = -3.5
    assert foreground_mask(volume)[8, 30, 30]


def test_ct_windows_are_in_hounsfield_units():
    volume = Volume(np.linspace(-1000, 1000, 64, dtype=np.float32).reshape(4, 4, 4), np.eye(4), modality="ct")
    window = measure_window(volume)
    assert (window.rule, window.low, window.high) == ("ct-abdomen", -160, 240)
    assert measure_window(volume, "ct-lung").low == -1350


def test_fixed_limits_are_taken_as_given_and_checked():
    volume = head()
    assert measure_window(volume, {"rule": "fixed", "low": 10, "high": 20}).to_dict() == {
        "low": 10.0,
        "high": 20.0,
        "rule": "fixed",
    }
    with pytest.raises(UsageError, match="give the lower limit first"):
        measure_window(volume, {"rule": "fixed", "low": 20, "high": 10})
    with pytest.raises(UsageError, match="intensity window 'bright' is unknown"):
        measure_window(volume, "bright")


def test_oct_bytes_are_taken_as_they_are():
    volume = Volume(np.full((1, 4, 4), 128, np.float32), np.eye(4), modality="oct")
    assert measure_window(volume).apply(volume.voxels_kji).max() == pytest.approx(128 / 255)


def test_a_constant_volume_has_no_foreground_and_a_sound_window():
    volume = Volume(np.full((3, 4, 5), 7, np.float32), np.eye(4), modality="mri")
    assert not foreground_mask(volume).any()
    assert np.isfinite(measure_window(volume).apply(volume.voxels_kji)).all()


def test_the_foreground_does_not_depend_on_the_storage_order():
    """Regression: holes were filled along the stored k axis only, so a permuted volume had another foreground."""
    volume = head(noise=0.05)
    volume.voxels_kji[:, 30:34, 20:44] = 0
    expected = foreground_mask(volume)
    turned = Volume(np.ascontiguousarray(volume.voxels_kji.transpose(2, 0, 1)), np.eye(4), modality="mri")
    np.testing.assert_array_equal(foreground_mask(turned), expected.transpose(2, 0, 1))


def _stripped_with_a_dark_side() -> Volume:
    volume = head()
    ramp = np.linspace(0, 100, 64)[None, None, :]
    return replace(volume, voxels_kji=np.where(volume.voxels_kji > 0, ramp, 0).astype(np.float32))


def _with_specks() -> Volume:
    volume = head(noise=0.03)
    volume.voxels_kji[:2, :8, :8] = 100
    return volume


@pytest.mark.parametrize(
    ("name", "value", "volume"),
    [
        ("window_medians", 2.0, head()),
        ("air_hu", 20.0, replace(head(), modality="ct")),
        ("constant_share", 0.95, _stripped_with_a_dark_side()),
        ("near_share", 0.5, _stripped_with_a_dark_side()),
        ("few_share", 0.0, _stripped_with_a_dark_side()),
        ("otsu_share", 1.6, head(noise=0.03)),
        ("speck_share", 0.02, _with_specks()),
    ],
)
def test_each_number_of_window_and_foreground_counts(name, value, volume):
    changed = replace(DEFAULT, **{name: value})
    same_window = measure_window(volume, "foreground") == measure_window(volume, "foreground", changed)
    same_tissue = np.array_equal(foreground_mask(volume), foreground_mask(volume, changed))
    assert not (same_window and same_tissue)
