"""Heidelberg .vol files, written here byte by byte after the manufacturer's layout, and what is odd about them."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import InputError
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume import SlicePlane
from MIASSAMLib.volume_io import at_most, case_name, find_inputs, read_volume

COLUMN_MM, ROW_MM, SCAN_MM = 0.0113, 0.0039, 0.12
INVALID = np.float32(3.4028235e38)


def write_vol(path: Path, scans: np.ndarray, lines=None, **changes) -> Path:
    """Write reflectivity (K, J, I); lines: x and y of start and end of each B-scan in mm, bottom to top by default."""
    k, j, i = scans.shape
    said = {
        "eye": b"OS",
        "pattern": 3,
        "scan_mm": SCAN_MM,
        "column_mm": COLUMN_MM,
        "header": 4096,
        "own": 4096,
    } | changes
    header = bytearray(2048)
    header[:12] = b"HSF-OCT-103\0"
    struct.pack_into("<3I3d2I2d", header, 12, i, k, j, said["column_mm"], said["scan_mm"], ROW_MM, 6, 5, 0.01, 0.01)
    struct.pack_into("<4s", header, 84, said["eye"])
    struct.pack_into("<iI", header, 96, said["pattern"], said["header"])
    parts = [bytes(header), bytes(30)]
    for number, scan in enumerate(scans):
        y = 5 - SCAN_MM * number
        line = (1.0, y, 1.0 + COLUMN_MM * (i - 1), y) if lines is None else lines[number]
        own = bytearray(said["own"])
        struct.pack_into("<I4d", own, 12, said["own"], *line)
        parts += [bytes(own), scan.astype("<f4").tobytes()]
    path.write_bytes(b"".join(parts))
    return path


@pytest.fixture
def scans() -> np.ndarray:
    return np.random.default_rng(0).random((7, 20, 30)).astype(np.float32)


def test_grey_is_the_fourth_root_and_the_eye_and_spacing_are_said(tmp_path, scans):
    volume = read_volume(write_vol(tmp_path / "a.vol", scans))
    np.testing.assert_allclose(volume.voxels_kji, 255 * scans**0.25, rtol=1e-5)
    np.testing.assert_allclose(volume.spacing_mm, [COLUMN_MM, ROW_MM, SCAN_MM])
    assert volume.modality == "oct" and volume.name == "a" and find_inputs([tmp_path]) == [tmp_path / "a.vol"]
    (note,) = volume.notes
    assert note.startswith("left eye (OS); the file says 0.12 mm between B-scans and pixels of 0.0039 x 0.0113 mm")


def test_a_scan_lies_in_ras_as_somebody_facing_the_patient_sees_it(tmp_path, scans):
    volume = read_volume(write_vol(tmp_path / "a.vol", scans))
    origin = volume.ijk_to_ras_point(np.zeros(3))
    for axis, step in enumerate(([-COLUMN_MM, 0, 0], [0, -ROW_MM, 0], [0, 0, SCAN_MM])):
        np.testing.assert_allclose(volume.ijk_to_ras_point(np.eye(3)[axis]) - origin, step, atol=1e-9)
    np.testing.assert_allclose(volume.ijk_to_ras_point(np.array([29, 19, 6])), -origin, atol=1e-9)
    plane = SlicePlane.of(volume)
    assert plane.slice_axis == 2
    np.testing.assert_array_equal(plane.take(volume.voxels_kji, 3), volume.voxels_kji[3])


@pytest.mark.parametrize(
    ("line", "step", "along_ras", "up_ras"),
    [
        ((0, 0, 1, 0), (0, 0.12), [-1, 0, 0], [0, 0, -1]),
        ((0, 0, 0, 1), (0.12, 0), [0, 0, -1], [-1, 0, 0]),
        ((0, 0, 0.8, 0.6), (0.6 * 0.12, -0.8 * 0.12), [-0.8, 0, -0.6], [-0.6, 0, 0.8]),
    ],
)
def test_b_scans_from_top_to_bottom_upright_and_oblique_keep_their_direction(
    tmp_path, scans, line, step, along_ras, up_ras
):
    shift = np.array([*step, *step])
    lines = [np.array(line, float) + number * shift for number in range(len(scans))]
    volume = read_volume(write_vol(tmp_path / "a.vol", scans, lines))
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 0] / COLUMN_MM, along_ras, atol=1e-9)
    np.testing.assert_allclose(volume.ijk_to_ras[:3, 2] / SCAN_MM, up_ras, atol=1e-9)
    assert len(volume.notes) == 1


def test_samples_that_were_not_measured_are_black_and_counted(tmp_path, scans):
    scans[2, 3:5, 4] = INVALID
    scans[1, 0, 0] = np.nan
    volume = read_volume(write_vol(tmp_path / "a.vol", scans, own=256))
    assert not volume.voxels_kji[2, 3:5, 4].any() and volume.voxels_kji[1, 0, 0] == 0
    assert "3 of 4200 samples were not measured and are black" in volume.notes


def test_a_single_and_a_circular_scan_say_what_is_not_known(tmp_path, scans):
    circle = read_volume(write_vol(tmp_path / "c.vol", scans[:1], pattern=2, scan_mm=0.0, eye=b"OD"))
    assert any("circular scan" in note for note in circle.notes) and circle.notes[0].startswith("right eye")
    assert any("ml mean nothing" in note for note in circle.notes)
    nowhere = read_volume(write_vol(tmp_path / "n.vol", scans, [(0, 0, 0, 0)] * 7, eye=b""))
    assert any("place is unknown" in note for note in nowhere.notes) and nowhere.notes[0].startswith("eye unknown")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data[:-5], "cut short or damaged"),
        (lambda data: data[:1000], "cut short or damaged"),
        (lambda data: b"other volume" * 400, "cut short or damaged"),
        (lambda data: data[:12] + struct.pack("<3I", 1 << 31, 1 << 31, 1 << 31) + data[24:], "cut short or damaged"),
        (lambda data: data[:24] + struct.pack("<d", float("nan")) + data[32:], "make no sense"),
        (lambda data: data[:96] + struct.pack("<i", 5) + data[100:], "cross like a star"),
        (lambda data: data[: 2078 + 12] + bytes(4) + data[2078 + 16 :], "cut short or damaged"),
    ],
)
def test_what_is_no_volume_is_refused_in_words(tmp_path, scans, change, words):
    path = write_vol(tmp_path / "a.vol", scans)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=words):
        read_volume(path)


def test_spacing_is_overruled_in_bank_segmentation_and_correction(tmp_path):
    for name, seed, lesions in (("normal", 1, 0), ("ill", 3, 1)):
        grey = make_phantom("retina", seed, lesions).volume.voxels_kji[6:10]
        write_vol(tmp_path / f"{name}.vol", (np.clip(grey / 255, 0, 1) ** 4).astype(np.float32))
    spacing, bank, out = ["--spacing", "0.35", "0.0085", "0.027"], str(tmp_path / "a.bank"), str(tmp_path / "out")
    words = ["--preset", "paper", "--output", bank, "--json"]
    assert main(["bank", "build", str(tmp_path / "normal.vol"), *spacing, *words]) == 0
    assert main(["segment", str(tmp_path / "ill.vol"), "--bank", bank, *spacing, "--output", out, "--json"]) == 0
    record = json.loads((tmp_path / "out" / "ill.json").read_text())
    assert record["volume"]["spacing_mm"] == [0.027, 0.0085, 0.35]
    assert "spacing 0.35 x 0.0085 x 0.027 mm (k, j, i) was given" in record["notes"]
    index, (finding, *_) = next((item["slice"], item["findings"]) for item in record["slices"] if item["findings"])
    assert finding["area_mm2"] == pytest.approx(finding["area_px"] * 0.027 * 0.0085, rel=1e-4)
    ras = [str(value) for value in finding["cog_ras_mm"]]
    assert main(["correct", f"{out}/ill.json", "--ras", "--point", *ras, "--slice", str(index)]) == 0
    again = json.loads((tmp_path / "out" / "ill.json").read_text())
    assert again["slices"] == record["slices"] and again["lesions"] == record["lesions"]
    with pytest.raises(SystemExit):
        main(["segment", "x.vol", "--bank", bank, "--spacing", "1", "0", "1", "--output", out])


def test_a_vol_file_names_its_case():
    assert case_name(Path("/data/OS_17.vol")) == "OS_17"


def test_bug_max_voxels_did_not_bound_a_vol(tmp_path, scans):
    path = write_vol(tmp_path / "a.vol", scans)
    with at_most(7 * 20 * 30):
        assert read_volume(path).shape_kji == (7, 20, 30)
    with at_most(7 * 20 * 30 - 1), pytest.raises(InputError, match="--max-voxels"):
        read_volume(path)
