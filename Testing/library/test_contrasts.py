"""Several contrasts of one patient: brought onto one grid or refused, judged each by itself, joined and recorded."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from library.dicom_phantom import write_dicom
from MIASSAMLib import build_bank, open_segmenter
from MIASSAMLib.api import with_contrasts
from MIASSAMLib.cli.main import main
from MIASSAMLib.config import preset, read_config
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.method.calibration import OUTSIDE, Calibration, MapLaw
from MIASSAMLib.method.contrasts import SeveralContrasts
from MIASSAMLib.method.normal_law import NormalExtremes
from MIASSAMLib.method.refined import read_calibration
from MIASSAMLib.phantoms import default_grid, make_phantom
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import on_voxels_of, read_volume, write_volume

GRID = replace(default_grid("brain"), shape_kji=(6, *default_grid("brain").shape_kji[1:]))


def ramp(shape_kji, spacing_mm, origin_ras, **more) -> Volume:
    """A volume whose voxels say how far to the right (x) and front (y) they lie, mm: x + 1000 y."""
    matrix = np.diag([*spacing_mm, 1.0])
    matrix[:3, 3] = origin_ras
    ijk = np.moveaxis(np.indices(shape_kji)[::-1], 0, -1)
    ras = ijk @ matrix[:3, :3].T + matrix[:3, 3]
    return Volume((ras[..., 0] + 1000 * ras[..., 1]).astype(np.float32), matrix, **more)


def other_contrast(volume: Volume, name: str = "t1c", lesion: bool = False) -> Volume:
    """The same patient with tissue dark where it was bright; `lesion`: with a bright block of its own."""
    top = volume.voxels_kji.max()
    inside = volume.voxels_kji > 0.05 * top
    voxels = np.where(inside, 1.2 * top - volume.voxels_kji, volume.voxels_kji).astype(np.float32)
    if lesion:
        _, height, width = volume.shape_kji
        voxels[2:4, height // 2 - 12 : height // 2 + 12, width // 3 - 12 : width // 3 + 12] = 3 * top
    return replace(volume, voxels_kji=voxels, name=name)


@pytest.fixture(scope="module")
def patient() -> Volume:
    return make_phantom("brain", 40, 1, GRID).volume


@pytest.fixture(scope="module")
def house(tmp_path_factory, embedded_model, patient):
    """A bank of each contrast, and a patient's two contrasts as files."""
    folder = tmp_path_factory.mktemp("contrasts")
    normals = [make_phantom("brain", seed, 0, GRID).volume for seed in range(2)]
    build_bank(folder / "flair.bank", normals, model=embedded_model)
    build_bank(folder / "t1c.bank", [other_contrast(each, each.name) for each in normals], model=embedded_model)
    write_volume(folder / "flair.nii.gz", patient)
    write_volume(folder / "t1c.nii.gz", other_contrast(patient, lesion=True))
    return folder


def test_voxels_that_coincide_stay_as_they_are():
    first = ramp((4, 20, 30), (1, 1, 2), (5, 6, 7))
    assert np.array_equal(on_voxels_of(first, first).voxels_kji, first.voxels_kji)
    assert on_voxels_of(first, first).notes == ()


def test_another_grid_is_interpolated_in_patient_space_and_the_notes_say_so():
    first = ramp((4, 20, 30), (1, 1, 2), (5, 6, 7), name="flair")
    other = ramp((9, 70, 90), (0.4, 0.5, 1), (0, 0, 5), name="t1c")
    flipped = np.diag([-1.0, 1, 1, 1])
    flipped[0, 3] = 89
    turned = replace(other, voxels_kji=other.voxels_kji[:, :, ::-1].copy(), ijk_to_ras=other.ijk_to_ras @ flipped)
    for one in (other, turned):
        moved = on_voxels_of(one, first)
        np.testing.assert_allclose(moved.voxels_kji, first.voxels_kji, atol=0.01)
        assert np.array_equal(moved.ijk_to_ras, first.ijk_to_ras)
        assert moved.notes == ("t1c was interpolated linearly onto the voxels of flair",)


def test_what_covers_a_part_says_how_much():
    first = ramp((4, 20, 40), (1, 1, 2), (0, 0, 0), name="flair")
    half = ramp((4, 20, 20), (1, 1, 2), (20, 0, 0), name="t1c")
    moved = on_voxels_of(half, first)
    assert "covers 50%" in moved.notes[0]
    assert (moved.voxels_kji[..., :19] == half.voxels_kji.min()).all()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"origin_ras": (900, 0, 0)}, "do not overlap"),
        ({"frame_uid": "1.2.4"}, "another frame of reference"),
        ({"has_spacing": False, "shape_kji": (4, 20, 31)}, "does not say where"),
    ],
)
def test_what_cannot_lie_over_the_first_is_refused_with_the_reason(more, words):
    first = ramp((4, 20, 30), (1, 1, 2), (5, 6, 7), frame_uid="1.2.3")
    place = {"shape_kji": (4, 20, 30), "spacing_mm": (1, 1, 2), "origin_ras": (5, 6, 7), **more}
    with pytest.raises(InputError, match=words):
        on_voxels_of(ramp(**place), first)


def test_two_dicom_series_of_two_sittings_are_refused_and_of_one_are_not(tmp_path):
    volume = ramp((4, 20, 30), (1, 1, 2), (5, 6, 7))
    first, second = (read_volume(write_dicom(tmp_path / name, volume)) for name in ("first", "second"))
    with pytest.raises(InputError, match="second lies in another frame of reference than first"):
        with_contrasts(first, [second])
    assert len(with_contrasts(first, [tmp_path / "first"]).contrasts) == 1


def test_the_joined_map_is_the_weighted_sum_over_its_spread_where_both_show_tissue(embedded_model, patient):
    other = other_contrast(patient, lesion=True)
    other.voxels_kji[:, :, : patient.shape_kji[2] // 2] = other.voxels_kji.min()
    segmenter = open_segmenter(None, embedded_model, "refined:contrast_weight=0.25,contrast_correlation=0.4")
    reading = segmenter.open(with_contrasts(patient, [other]))
    judge, encoded = read_calibration(reading), reading.slice(3)
    volumes = (patient, reading.others[0].prepared.volume)
    alone = [read_calibration(segmenter.open(each)) for each in volumes]
    inside = [each.prepared.foreground_map(3) for each in (reading, *reading.others)]
    first, second = (one.maps(replace(encoded, foreground=where))[0] for one, where in zip(alone, inside, strict=True))
    joined = judge.maps(encoded, None)[0]
    both = inside[0] & inside[1]
    assert both.any() and (inside[0] & ~inside[1]).any()
    np.testing.assert_allclose(
        joined[both], (first + 0.25 * second)[both] / np.sqrt(1 + 0.25**2 + 2 * 0.4 * 0.25), atol=1e-5
    )
    np.testing.assert_allclose(joined[inside[0] & ~inside[1]], first[inside[0] & ~inside[1]], atol=1e-5)
    assert (joined[~inside[0]] == OUTSIDE).all()


def test_bug_what_is_high_on_normal_slices_of_one_contrast_hid_what_both_show():
    config = preset("refined")

    def judge(peaks):
        found = Calibration(config)
        extremes = NormalExtremes(np.log1p(peaks), np.log1p(peaks), np.linspace(0, 1, len(peaks)), config)
        found.laws_["features"] = MapLaw(0.0, 1.0, 2.0, extremes)
        return found

    quiet, restless = judge(np.linspace(2, 6, 50)), judge(np.linspace(4, 24, 30))
    labels = np.zeros((256, 256), int)
    labels[100, 100] = 1
    values = np.where(labels, 15.0, 0.0).astype(np.float32)[None]
    joined = SeveralContrasts(quiet, [(None, restless)])
    assert joined.tails(values, labels, 1, 0.5)[0] < 0.01 < 0.2 < restless.tails(values, labels, 1, 0.5)[0]
    most = (6 + config.contrast_weight * 24) / np.sqrt(1 + config.contrast_weight + config.contrast_weight**2)
    below = np.where(labels, 0.9 * most, 0).astype(np.float32)[None]
    assert joined.tails(below, labels, 1, 0.5)[0] > 0.05 > quiet.tails(below, labels, 1, 0.5)[0]


@pytest.mark.parametrize("has_bank", [False, True])
def test_a_contrast_given_twice_and_known_to_be_the_same_changes_nothing(house, embedded_model, patient, has_bank):
    bank, words = house / "flair.bank" if has_bank else None, "refined:contrast_correlation=1"
    alone = open_segmenter(bank, embedded_model).segment(patient)
    twice = open_segmenter(bank, embedded_model, words, with_banks=[bank] if bank else []).segment(
        with_contrasts(patient, [replace(patient, name="again")])
    )
    np.testing.assert_array_equal(alone.labels_kji, twice.labels_kji)
    np.testing.assert_allclose(alone.heat_kji, twice.heat_kji, atol=0.01)


def test_the_command_line_joins_contrasts_and_the_files_say_which(house, tmp_path):
    command = ["segment", str(house / "flair.nii.gz"), "--bank", str(house / "flair.bank")]
    both = ["--with", str(house / "t1c.nii.gz"), "--with-bank", str(house / "t1c.bank"), "--sensitivity", "0.5"]
    assert main([*command, "--output", str(tmp_path / "one"), "--sensitivity", "0.5"]) == 0
    assert main([*command, *both, "--output", str(tmp_path / "two"), "--no-paths"]) == 0
    one, two = (json.loads((tmp_path / run / "flair.json").read_text()) for run in ("one", "two"))
    assert one["volume"]["contrasts"] == []
    assert [(each["name"], each["source"]) for each in two["volume"]["contrasts"]] == [("t1c", "t1c.nii.gz")]
    assert two["banks_beside"][0]["name"] == "t1c.bank"
    assert "compared in flair and t1c, outlined in flair" in two["notes"]
    assert "compared in flair and t1c" in (tmp_path / "two" / "report.html").read_text(encoding="utf-8")
    scores = [[item["image_score"] for item in record["slices"]] for record in (one, two)]
    assert scores[0] != scores[1], "the second contrast holds a lesion of its own"


def test_a_result_of_contrasts_is_corrected_and_resumed_with_them(house, tmp_path, capsys):
    command = ["segment", str(house / "flair.nii.gz"), "--with", str(house / "t1c.nii.gz"), "--output", str(tmp_path)]
    assert main(command) == 0
    record = (tmp_path / "flair.json").read_text()
    before = (tmp_path / "flair.json").stat().st_mtime_ns
    assert main([*command, "--resume"]) == 0
    assert (tmp_path / "flair.json").stat().st_mtime_ns == before
    assert main([*command[:2], *command[-2:], "--resume"]) == 0
    assert json.loads((tmp_path / "flair.json").read_text())["volume"]["contrasts"] == []
    (tmp_path / "flair.json").write_text(record)
    correct = ["correct", str(tmp_path / "flair.json"), "--slice", "3", "--point", "60", "60"]
    assert main([*correct, "--with", str(house / "flair.nii.gz")]) == 1
    assert "not those of this record" in capsys.readouterr().err
    assert main(correct) == 0
    assert len(json.loads((tmp_path / "flair.json").read_text())["volume"]["contrasts"]) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--with", "t1c.nii.gz"], "1 further contrasts came with 0 banks"),
        (["--with-bank", "t1c.bank"], "0 further contrasts came with 1 banks"),
        (["--with", "t1c.nii.gz", "t1c.nii.gz", "--with-bank", "t1c.bank"], None),
        (["flair.nii.gz", "t1c.nii.gz", "--with", "t1c.nii.gz"], "1 files for 2 volumes"),
    ],
)
def test_contrasts_and_banks_that_do_not_pair_are_refused(house, tmp_path, capsys, monkeypatch, more, words):
    monkeypatch.chdir(house)
    inputs = more if more[0].startswith("flair") else ["flair.nii.gz", *more]
    command = ["segment", *inputs, "--bank", "flair.bank", "--output", str(tmp_path / "out")]
    assert main(command) == (2 if words else 0)
    assert not words or words in capsys.readouterr().err


def test_the_paper_and_b_scans_take_one_contrast(embedded_model, house, patient):
    pair = with_contrasts(patient, [replace(patient, name="again")])
    normals = [make_phantom("brain", 0, 0, GRID).volume]
    build_bank(house / "paper.bank", normals, model=embedded_model, preset="paper")
    with pytest.raises(UsageError, match="looks at one contrast"):
        open_segmenter(house / "paper.bank", embedded_model).segment(pair)
    scan = make_phantom("retina", 0).volume
    with pytest.raises(UsageError, match="B-scans"):
        open_segmenter(None, embedded_model).segment(with_contrasts(scan, [replace(scan, name="again")]))


def test_a_config_from_before_contrasts_is_read():
    data = preset("refined").to_dict()
    del data["contrast_weight"], data["contrast_correlation"]
    assert read_config(data) == preset("refined")
