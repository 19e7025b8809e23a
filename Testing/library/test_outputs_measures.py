"""What is measured of a lesion, and what is not said where it is not known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from library.test_reporting_pictures import make_case
from MIASSAMLib.config import preset
from MIASSAMLib.diameters import bidimensional, main_part
from MIASSAMLib.method import CaseResult, PreparedVolume, Preprocessing, Segmenter
from MIASSAMLib.outputs import case_record, case_row, lesion_rows, slice_rows
from MIASSAMLib.outputs.measure import measure_lesions
from MIASSAMLib.volume import Volume
from PIL import Image


def with_labels(case: CaseResult, labels: np.ndarray) -> CaseResult:
    """Return a case with other labels."""
    return replace(case, labels_kji=labels.astype(np.uint16))


def disk(radius: float, shape=(81, 81)) -> np.ndarray:
    y, x = np.indices(shape) - np.array(shape).reshape(2, 1, 1) // 2
    return x**2 + y**2 <= radius**2


@pytest.mark.parametrize("radius", [5, 20])
def test_a_disk_is_as_long_as_it_is_wide(radius):
    longest, perpendicular = bidimensional(disk(radius), np.array([0.5, 0.5]))
    assert longest == pytest.approx(radius, rel=0.12) and perpendicular == pytest.approx(longest, rel=0.06)


def test_an_ellipse_has_its_two_axes_at_any_angle():
    y, x = np.indices((101, 101)) - 50
    for angle in np.radians([0, 30, 77]):
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        longest, perpendicular = bidimensional((u / 40) ** 2 + (v / 15) ** 2 <= 1, np.array([1.0, 1.0]))
        assert longest == pytest.approx(80, abs=2) and perpendicular == pytest.approx(30, abs=2)


def test_diameters_know_pixels_that_are_not_square():
    longest, perpendicular = bidimensional(np.ones((4, 10), bool), np.array([3.0, 1.0]))
    assert longest == pytest.approx(np.hypot(12, 9), abs=1.5) and perpendicular < longest


def test_one_pixel_has_its_own_size():
    assert bidimensional(np.ones((1, 1), bool), np.array([2.0, 2.0])) == pytest.approx((2.0, 2.0))


def test_a_lesion_of_49_parts_was_104_mm_long_instead_of_81():
    """Specks far from a lesion do not make it longer: the main part is measured, the parts are counted."""
    case = make_case(5, (2,))
    labels = case.labels_kji.copy()
    labels[2, 30:32, 3:5], labels[4, 35, 5] = 1, 1
    alone, speckled = measure_lesions(case)[0], measure_lesions(with_labels(case, labels))[0]
    assert (alone["n_parts"], speckled["n_parts"]) == (1, 3)
    assert speckled["longest_diameter_mm"] == alone["longest_diameter_mm"] == pytest.approx(13.45, abs=0.1)
    assert speckled["volume_ml"] > alone["volume_ml"]


def test_diameters_are_those_of_the_slice_where_the_longest_is():
    case = make_case(5, ())
    labels = case.labels_kji.copy()
    labels[1, 10:14, 10:14], labels[2, 10:14, 10:40], labels[3, 10:20, 10:14] = 1, 1, 1
    lesion = measure_lesions(with_labels(case, labels))[0]
    assert lesion["diameter_slice"] == 2 and lesion["slices"] == [1, 2, 3]
    assert lesion["longest_diameter_mm"] == pytest.approx(30.15, abs=0.2)
    assert lesion["perpendicular_diameter_mm"] < 8


@pytest.mark.parametrize(("first", "side"), [(2, "right"), (23, "midline"), (40, "left")])
def test_the_side_is_the_patients(first, side):
    case = make_case(5, ())
    labels = case.labels_kji.copy()
    labels[2, 10:14, first : first + 4] = 1
    lesion = measure_lesions(with_labels(case, labels))[0]
    assert lesion["side"] == side
    assert (lesion["centroid_ras_mm"][0] > -24.5 + 2) == (side == "right")


def test_scores_are_mean_and_peak_of_the_map_inside():
    case = make_case(5, (2,))
    heat = case.heat_kji.copy()
    heat[2, 12, 33] = 20
    lesion = measure_lesions(replace(case, heat_kji=heat))[0]
    assert lesion["peak_score"] == 20 and lesion["mean_score"] == pytest.approx(8.12)


def test_nothing_is_said_in_mm_where_the_pixel_size_is_unknown():
    """Volumes and areas of pictures without a pixel size were given in ml and mm2."""
    record = case_record(make_case(1, (0,), has_spacing=False))
    finding = record["slices"][0]["findings"][0]
    assert finding["area_mm2"] is None and finding["area_px"] == 100 and record["volume_ml"] is None
    assert record["volume"]["spacing_mm"] is None
    row = {**lesion_rows(record)[0], **case_row(record), **slice_rows(record)[0]}
    assert all(value is None for key, value in row.items() if key.endswith(("_mm", "_mm2", "_ml")))
    assert "1 anomaly on 1 of 1 slice, volume unknown" in row["summary"] and "most unusual" not in row["summary"]
    assert row["side"] == "" and row["n_voxels"] == 100


def test_a_picture_has_no_pixel_size_and_a_volume_has(tmp_path):
    from MIASSAMLib.volume_io import read_volume, write_volume

    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / "scan.png")
    assert not read_volume(tmp_path / "scan.png").has_spacing
    volume = Volume(np.ones((2, 3, 4), np.float32), np.eye(4))
    assert read_volume(write_volume(tmp_path / "scan.nrrd", volume)).has_spacing


def test_oct_sized_volumes_keep_their_digits():
    """Fluid of 0.00012 ml was 0.0 ml in every table."""
    record = case_record(make_case(3, (1,), spacing=(0.0039, 0.0118, 0.24)))
    assert case_row(record)["volume_ml"] == pytest.approx(1.1045e-6, rel=1e-3)
    assert "0.0011 mm3" in case_row(record)["summary"]
    assert record["slices"][1]["findings"][0]["area_px"] == 100


def test_numbers_that_are_not_finite_become_null():
    case = make_case(2, ())
    slices = tuple(replace(item, image_score=float("inf"), tail_probability=float("nan")) for item in case.slices)
    record = json.loads(json.dumps(case_record(replace(case, slices=slices)), allow_nan=False))
    assert record["slices"][0]["image_score"] is None and record["slices"][0]["tail_probability"] is None


def test_main_part_of_a_mask():
    mask = np.zeros((3, 9, 9), bool)
    mask[0, 0, 0], mask[1, 4:7, 4:7], mask[2, 7, 7] = True, True, True
    part, count = main_part(mask)
    assert count == 2 and part.sum() == 10


def test_paper_wrote_score_zero_for_every_finding(embedded_model):
    """The score of a finding is the largest map value inside its mask, in records, tables and labels alike."""

    class Distances:
        kinds, calibration = ("embedding",), {}

        def search(self, kind, queries):
            return np.linspace(1, 9, len(queries), dtype=np.float32)

    from MIASSAMLib.phantoms import Grid, make_phantom

    volume = make_phantom("brain", 6, 1, Grid.centered((2, 72, 64), (3.0, 3.0, 30.0))).volume
    result = Segmenter(embedded_model, Distances(), preset("paper")).segment(volume)
    record = case_record(result)
    findings = [(item, finding) for item in record["slices"] for finding in item["findings"]]
    assert findings
    for item, finding in findings:
        heat = result.prepared.plane.take(result.heat_kji, item["slice"])
        inside = next(s for s in result.slices if s.index == item["slice"]).findings[0].mask
        assert finding["score"] == pytest.approx(float(heat[inside].max(initial=0)), rel=0.1)
    assert any(finding["score"] > 1 for _, finding in findings)
    assert lesion_rows(record)[0]["peak_score"] == pytest.approx(max(f["score"] for _, f in findings), rel=0.1)
    assert max(row["peak_score"] for row in slice_rows(record) if row["peak_score"]) > 1


def test_prepared_foreground_of_a_single_sagittal_slice_has_no_side():
    voxels = np.full((1, 20, 20), 100, np.float32)
    voxels[:, :3] = 0
    matrix = np.array([[0, 0, 5.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]], float)
    prepared = PreparedVolume.of(Volume(voxels, matrix, "one", "mri"), Preprocessing())
    labels = np.zeros(voxels.shape, np.uint16)
    labels[0, 10:12, 10:12] = 1
    case = replace(make_case(1, ()), prepared=prepared, labels_kji=labels, heat_kji=np.zeros(voxels.shape, np.float32))
    assert measure_lesions(case)[0]["side"] == ""
