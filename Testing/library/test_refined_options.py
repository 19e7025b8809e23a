"""What `--contrast flair` and `--smooth-axis` do, on the embedded model and a bank of phantoms."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from MIASSAMLib.api import open_segmenter
from MIASSAMLib.config import changed, preset
from MIASSAMLib.errors import UsageError
from MIASSAMLib.method import Segmenter, SegmentOptions
from MIASSAMLib.method.calibration import Calibration
from MIASSAMLib.method.features import smoothed_brightness
from MIASSAMLib.phantoms import default_grid, make_phantom


@pytest.fixture(scope="module")
def bright():
    """A brain whose lesion is made twice as bright as its tissue."""
    phantom = make_phantom("brain", 11, 1)
    voxels = phantom.volume.voxels_kji.copy()
    voxels[phantom.lesion_labels_kji > 0] = 2 * np.median(voxels[phantom.foreground_kji])
    return dataclasses.replace(phantom, volume=dataclasses.replace(phantom.volume, voxels_kji=voxels))


def test_brightness_is_that_of_the_foreground_only():
    foreground = np.zeros((256, 256), bool)
    foreground[100:150, 100:150] = True
    raster = np.where(foreground, 0.4, 0.9).astype(np.float32)
    found = smoothed_brightness(raster, foreground, preset("refined"))
    np.testing.assert_allclose(found[foreground], 0.4, atol=1e-5)
    assert not found[~foreground].any()
    large = np.kron(raster, np.ones((4, 4), np.float32))
    np.testing.assert_allclose(smoothed_brightness(large, foreground, preset("refined")), found)


def test_flair_maps_brightness_and_finds_a_bright_lesion(embedded_model, brain_bank, bright):
    config = changed(preset("refined"), "contrast=flair")
    result = Segmenter(embedded_model, brain_bank, config).segment(bright.volume)
    marked, lesion = result.labels_kji > 0, bright.lesion_labels_kji > 0
    assert 2 * (marked & lesion).sum() / (marked.sum() + lesion.sum()) > 0.6
    inside = bright.foreground_kji
    share = np.corrcoef(result.heat_kji[inside], bright.volume.voxels_kji[inside])[0, 1]
    assert share > 0.8, "the map does not follow brightness"


def test_a_normal_volume_stays_empty_with_flair(embedded_model, brain_bank):
    config = changed(preset("refined"), "contrast=flair")
    assert not Segmenter(embedded_model, brain_bank, config).segment(make_phantom("brain", 12).volume).labels_kji.any()


def test_a_calibration_survives_the_file_and_says_what_it_lacks(brain_bank):
    arrays = dict(brain_bank.calibration)
    read = Calibration.from_arrays(arrays, preset("refined"))
    again = read.to_arrays()
    assert set(again) == set(arrays)
    assert all(np.array_equal(again[name], arrays[name]) for name in arrays)
    assert Calibration.from_arrays(arrays, preset("refined:contrast=flair")).level == read.laws_["brightness"].level
    del arrays["brightness_law"]
    with pytest.raises(UsageError, match="lacks 'brightness_law'; build the bank again"):
        Calibration.from_arrays(arrays, preset("refined"))


def test_much_coarser_pixels_than_the_banks_are_told(embedded_model, brain_bank):
    grid = default_grid("brain")
    rows, columns = grid.shape_kji[1] // 2, grid.shape_kji[2] // 2
    coarse = dataclasses.replace(
        grid, shape_kji=(2, rows, columns), ijk_to_ras=grid.ijk_to_ras @ np.diag([2.0, 2.0, 1.0, 1.0])
    )
    segmenter = Segmenter(embedded_model, brain_bank, preset("refined"))
    options = SegmentOptions(slices=(0, 2))
    (note,) = segmenter.segment(make_phantom("brain", 12, grid=coarse).volume, options).notes
    assert re.match(r"pixels of 2.5 mm, but the bank knows 1.2 mm", note)
    assert not segmenter.segment(make_phantom("brain", 12).volume, options).notes


def test_smoothing_along_the_axis_spreads_the_map_across_slices_only_within_the_patient(
    embedded_model, brain_bank, bright
):
    plain = Segmenter(embedded_model, brain_bank, preset("refined")).segment(bright.volume).heat_kji
    config = changed(preset("refined"), "axis_sigma_mm=7")
    smooth = Segmenter(embedded_model, brain_bank, config).segment(bright.volume).heat_kji
    both = bright.foreground_kji[1:] & bright.foreground_kji[:-1]
    assert np.abs(np.diff(smooth, axis=0))[both].mean() < 0.7 * np.abs(np.diff(plain, axis=0))[both].mean()
    outside = plain == -1
    assert (smooth[outside] == -1).mean() > 0.99, "the map leaks out of the patient"
    assert (smooth[~outside] != -1).mean() > 0.99, "the patient is not smoothed everywhere"


def test_what_a_preset_cannot_do_is_refused(brain_bank_path):
    with pytest.raises(UsageError, match="changes no field that the preset paper uses"):
        open_segmenter(brain_bank_path, preset="paper:contrast=flair")
    assert open_segmenter(brain_bank_path, preset=":contrast=flair").config.contrast == "flair"
