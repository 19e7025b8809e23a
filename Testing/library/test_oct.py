"""OCT the whole way: features and pockets of fluid side by side, and clicks in native windows."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from MIASSAMLib.bank import MemoryBank
from MIASSAMLib.config import preset
from MIASSAMLib.errors import InputError
from MIASSAMLib.method import BuildOptions, BuildSource, Segmenter, SegmentOptions, build_bank
from MIASSAMLib.method.calibration import Calibration, MapLaw
from MIASSAMLib.method.evidence import dice
from MIASSAMLib.method.normal_law import NormalExtremes
from MIASSAMLib.method.prompts import UserPrompts
from MIASSAMLib.method.refined import independent_looks
from MIASSAMLib.method.view import native_windows
from MIASSAMLib.phantoms import default_grid, make_phantom
from MIASSAMLib.volume_io import read_label, read_volume
from scipy import ndimage

REFINED = preset("refined")
FEATURES_ALONE = dataclasses.replace(REFINED, contrast="features")


def bank_of(volumes, model, path: Path) -> MemoryBank:
    sources = [BuildSource(f"normal_{n}", lambda v=v: (v, None)) for n, v in enumerate(volumes)]
    return build_bank(path, sources, model, REFINED, BuildOptions(modality="oct"))


@pytest.fixture(scope="module")
def retina_bank(embedded_model, tmp_path_factory):
    normals = [make_phantom("retina", seed).volume for seed in range(4)]
    return bank_of(normals, embedded_model, tmp_path_factory.mktemp("oct") / "retina.bank")


def test_a_cyst_of_a_phantom_is_found_outlined_and_pointed_at(embedded_model, retina_bank):
    phantom = make_phantom("retina", 704, 2)
    result = Segmenter(embedded_model, retina_bank, REFINED).segment(phantom.volume, SegmentOptions(slices=(10, 13)))
    lesion, found = phantom.lesion_labels_kji[10:13] > 0, result.labels_kji[10:13] > 0
    assert dice(lesion, found) > 0.6
    for item in result.slices:
        (finding,) = item.findings
        i, j, k = np.round(result.cog_ijk(item, finding)).astype(int)
        assert phantom.lesion_labels_kji[k, j, i]


def test_a_normal_phantom_stays_empty(embedded_model, retina_bank):
    segmenter = Segmenter(embedded_model, retina_bank, REFINED)
    assert not segmenter.segment(make_phantom("retina", 703).volume, SegmentOptions(slices=(6, 11))).labels_kji.any()


def test_fluid_counts_in_oct_alone_and_can_be_left_out(retina_bank, brain_bank):
    assert Calibration.from_arrays(retina_bank.calibration, REFINED).kinds == ("features", "fluid")
    assert Calibration.from_arrays(retina_bank.calibration, FEATURES_ALONE).kinds == ("features",)
    assert Calibration.from_arrays(brain_bank.calibration, REFINED).kinds == ("features",)


def test_a_volume_that_is_no_oct_is_refused_by_a_bank_of_oct(embedded_model, retina_bank):
    grid = default_grid("brain")
    brain = make_phantom("brain", 0, 0, dataclasses.replace(grid, shape_kji=(1, *grid.shape_kji[1:]))).volume
    with pytest.raises(InputError, match="no map of fluid; choose a bank of its kind"):
        Segmenter(embedded_model, retina_bank, REFINED).segment(brain)


def two_laws(config) -> Calibration:
    """Return a calibration whose normal slices reach 2 to 5; fluid is measured in a unit twice as large."""
    normal = NormalExtremes(np.log1p(np.linspace(2, 5, 50)), np.log1p(np.linspace(1, 90, 50)), np.zeros(50), config)
    calibration = Calibration(config)
    calibration.laws_ = {"features": MapLaw(0, 1, 2.0, normal), "fluid": MapLaw(0, 1, 1.0, normal)}
    return calibration


def test_what_is_rare_on_either_map_is_and_each_makes_its_share_of_the_false_alarms():
    maps = np.zeros((2, 256, 256), np.float32)
    maps[0, 20:24, 20:24] = maps[1, 80:84, 80:84] = 40
    labels, count = ndimage.label(maps.max(0) > 2)
    on_features, on_fluid = two_laws(REFINED).tails(maps, labels, count, 0.0)
    assert 0 < on_features < 0.05 and 0 < on_fluid < 0.05
    trusting = two_laws(dataclasses.replace(REFINED, fluid_share=0.4)).tails(maps, labels, count, 0.0)
    np.testing.assert_allclose([on_features / trusting[0], on_fluid / trusting[1]], [0.6 / 0.2, 0.4 / 0.8])


def test_bscans_are_independent_at_a_quarter_of_a_millimeter_and_pictures_by_their_number(embedded_model, retina_bank):
    segmenter = Segmenter(embedded_model, retina_bank, REFINED)
    phantom = segmenter.prepare(make_phantom("retina", 0).volume)
    assert independent_looks(phantom, 17, REFINED) == 17
    finer = dataclasses.replace(REFINED, independent_bscan_mm=0.7)
    assert independent_looks(phantom, 17, finer) == pytest.approx(17 * 0.35 / 0.7)
    brain = Segmenter(embedded_model, None, REFINED).prepare(make_phantom("brain", 0).volume)
    spacing = brain.plane.spacing_yxs_mm[2]
    assert independent_looks(brain, 20, REFINED) == pytest.approx(20 * min(1, spacing / 10))


def test_native_windows_exist_where_a_slice_has_more_pixels_than_the_model_sees():
    assert native_windows((496, 768), (300, 200), 1024, REFINED) == []
    windows = native_windows((496, 768), (300, 200), 256, REFINED)
    assert [max(one.frame.shape_yx) for one in windows] == [96, 192, 384]
    for one in windows:
        (top, left), (rows, columns) = one.corner_yx, one.frame.shape_yx
        assert top <= 200 < top + rows and left <= 300 < left + columns
    assert not native_windows((496, 768), (300, 200), 256, dataclasses.replace(REFINED, native_windows=()))


@pytest.fixture(scope="module")
def scans(shared_data):
    """Real B-scans by eye: name -> volume and fluid."""
    folder = shared_data / "oct_dme"
    with (folder / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, dict] = {}
    for row in rows:
        volume = read_volume(folder / row["image"])
        fluid = read_label(folder / row["mask"], volume) > 0 if row["mask"] else np.zeros(volume.shape_kji, bool)
        found.setdefault(row["group"], {})[row["case"]] = volume, fluid
    return found


def test_fluid_of_an_eye_is_found_beside_the_fluid_free_scans_of_others(scans, embedded_model, tmp_path):
    free = [volume for eye in ("patient_1", "patient_2") for volume, fluid in scans[eye].values() if not fluid.any()]
    segmenter = Segmenter(embedded_model, bank_of(free, embedded_model, tmp_path / "free.bank"), REFINED)
    for name in ("scan_05", "scan_06"):
        volume, fluid = scans["patient_0"][name]
        result = segmenter.segment(volume)
        assert dice(result.labels_kji > 0, fluid) > 0.7
        i, j, k = np.round(result.cog_ijk(result.slices[0], result.slices[0].findings[0])).astype(int)
        assert fluid[k, j, i]
    for name in ("scan_09", "scan_10"):
        assert not segmenter.segment(scans["patient_0"][name][0]).labels_kji.any()


def test_a_click_into_a_small_cyst_is_outlined_better_with_native_windows(scans, embedded_model):
    volume, fluid = scans["patient_2"]["scan_26"]
    labels, count = ndimage.label(fluid[0])
    scores = {}
    for shares in ((), REFINED.native_windows):
        segmenter = Segmenter(embedded_model, None, dataclasses.replace(REFINED, native_windows=shares))
        reading, each = segmenter.open(volume), []
        for number in range(1, count + 1):
            depth = ndimage.distance_transform_edt(labels == number)
            y, x = np.unravel_index(int(depth.argmax()), depth.shape)
            each.append(dice(segmenter.correct(reading, 0, UserPrompts.inside_at((x, y))).mask, labels == number))
        scores[bool(shares)] = float(np.mean(each))
    assert scores[True] > 0.5 > scores[False]
