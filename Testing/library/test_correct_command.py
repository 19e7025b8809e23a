"""`miassam correct` and `miassam segment --points`: what a user marks is outlined where it lies in the patient."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from MIASSAMLib.cli.main import main
from MIASSAMLib.phantoms import Grid, make_phantom, vary
from MIASSAMLib.volume import SlicePlane
from MIASSAMLib.volume_io import MarkupPoint, read_label, read_markups, read_volume, write_markups, write_volume

GRID = Grid.centered((3, 72, 64), (3.0, 3.0, 30.0))
GEOMETRIES = ("oblique", "flipped", "sagittal")


@pytest.fixture(scope="module")
def ward(tmp_path_factory) -> SimpleNamespace:
    """A bank of one normal head, a head with a lesion in three storage orders, and what was found in them."""
    folder = tmp_path_factory.mktemp("ward")
    normal = write_volume(folder / "normal.nii.gz", make_phantom("brain", 1, 0, GRID).volume)
    ill = {name: make_phantom("brain", 6, 1, vary(GRID, name)) for name in GEOMETRIES}
    paths = {name: write_volume(folder / f"{name}.nii.gz", one.volume) for name, one in ill.items()}
    bank, found = folder / "a.bank", folder / "found"
    assert main(["bank", "build", str(normal), "--preset", "paper", "--output", str(bank), "--json"]) == 0
    words = ["segment", *map(str, paths.values()), "--bank", str(bank), "--output", str(found), "--json"]
    assert main(words) == 0
    return SimpleNamespace(folder=folder, bank=bank, ill=ill, paths=paths, found=found)


@pytest.fixture
def results(ward, tmp_path) -> Path:
    """A copy of the results that a test may change."""
    return Path(shutil.copytree(ward.found, tmp_path / "found"))


def record_of(results: Path, name: str) -> dict:
    return json.loads((results / f"{name}.json").read_text())


def labels_of(results: Path, ward, name: str) -> np.ndarray:
    return read_label(results / f"{name}.seg.nrrd", read_volume(ward.paths[name]))


def findings_of(record: dict) -> list[tuple[int, dict]]:
    return [(item["slice"], finding) for item in record["slices"] for finding in item["findings"]]


def lesion_point(phantom) -> tuple[list[str], np.ndarray]:
    """Return the RAS position of the voxel deepest in the lesion, as words and numbers."""
    from scipy import ndimage

    depth = ndimage.distance_transform_edt(np.pad(phantom.lesion_labels_kji > 0, 1))[1:-1, 1:-1, 1:-1]
    kji = np.array(np.unravel_index(depth.argmax(), depth.shape))
    ras = phantom.volume.ijk_to_ras_point(kji[::-1])
    return [f"{value:.4f}" for value in ras], ras


@pytest.mark.parametrize("name", GEOMETRIES)
def test_the_runs_own_point_through_patient_space_changes_nothing(ward, results, name):
    before, labels = record_of(results, name), labels_of(results, ward, name)
    for index, finding in findings_of(before):
        position = [str(value) for value in finding["cog_ras_mm"]]
        assert main(["correct", str(results / f"{name}.json"), "--ras", "--point", *position]) == 0
        after = record_of(results, name)
        assert after["corrections"][-1]["slice"] == index
        assert {**after, "corrections": None} == {**before, "corrections": None}
    np.testing.assert_array_equal(labels_of(results, ward, name), labels)


def test_a_correction_takes_the_options_and_the_changed_preset_of_its_run(ward, tmp_path):
    words = ["segment", str(ward.paths["oblique"]), "--bank", str(ward.bank), "--output", str(tmp_path)]
    assert main([*words, "--mask", "1", "--prompt", "max", "--preset", "paper:dense_prompt=off", "--json"]) == 0
    before = record_of(tmp_path, "oblique")
    index, finding = findings_of(before)[0]
    assert (finding["mask"], finding["prompt"], before["config"]["dense_prompt"]) == ("1", "max", False)
    position = [str(value) for value in finding["cog_ras_mm"]]
    assert main(["correct", str(tmp_path / "oblique.json"), "--ras", "--point", *position]) == 0
    assert record_of(tmp_path, "oblique")["slices"] == before["slices"]


@pytest.mark.parametrize("name", GEOMETRIES)
def test_a_box_round_the_lesion_in_patient_space_outlines_it_and_keeps_the_rest(ward, results, name):
    phantom = ward.ill[name]
    volume, plane = phantom.volume, SlicePlane.of(phantom.volume, "auto")
    index = int(plane.view(phantom.lesion_labels_kji).any(axis=(1, 2)).argmax())
    truth = plane.take(phantom.lesion_labels_kji, index) > 0
    ys, xs = np.nonzero(truth)
    corners = [volume.ijk_to_ras_point(plane.ijk(index, xy)) for xy in ((xs.min(), ys.min()), (xs.max(), ys.max()))]
    box = [f"{value:.4f}" for value in np.concatenate(corners)]
    before, labels = record_of(results, name), labels_of(results, ward, name)
    words = ["correct", str(results / f"{name}.seg.nrrd"), "--ras", "--box", *box, "--lesion", "1"]
    assert main(words) == 0
    after, redrawn = record_of(results, name), labels_of(results, ward, name)
    mask = plane.take(redrawn, index) > 0
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.6
    assert [item for item in after["slices"] if item["slice"] != index] == [
        item for item in before["slices"] if item["slice"] != index
    ]
    others = [n for n in range(plane.n_slices) if n != index]
    np.testing.assert_array_equal(plane.view(redrawn)[others], plane.view(labels)[others])
    with (results / "lesions.csv").open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if row["case"] == name)
    assert int(row["n_voxels"]) == (redrawn == 1).sum() == after["lesions"][0]["n_voxels"]
    points = [point.ras for point in read_markups(results / f"{name}_cog.mrk.json")[0]]
    middle = volume.ijk_to_ras_point(plane.ijk(index, ((xs.min() + xs.max()) / 2, (ys.min() + ys.max()) / 2)))
    assert min(np.linalg.norm(np.array(point) - middle) for point in points) < 1e-3


def test_an_outline_is_taken_away_and_a_new_anomaly_added(ward, results):
    path, (index, finding) = str(results / "flipped.json"), findings_of(record_of(results, "flipped"))[0]
    assert main(["correct", path, "--slice", str(index), "--remove"]) == 0
    assert index not in [at for at, _ in findings_of(record_of(results, "flipped"))]
    x, y = (str(round(value)) for value in finding["cog_xy_px"])
    assert main(["correct", path, "--slice", str(index), "--point", x, y, "--lesion", "new"]) == 0
    record = record_of(results, "flipped")
    assert [one["lesion"] for at, one in findings_of(record) if at == index] == [2]
    assert [one["lesion"] for one in record["lesions"]] == [1, 2] and len(record["corrections"]) == 2


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("system", ["LPS", "RAS"])
def test_points_of_a_markups_file_are_outlined_without_a_bank(ward, tmp_path, name, system):
    words, ras = lesion_point(ward.ill[name])
    path = write_markups(tmp_path / "p.mrk.json", [MarkupPoint("F-1", tuple(ras))])
    if system == "RAS":
        data = json.loads(path.read_text())
        data["markups"][0]["coordinateSystem"] = "RAS"
        data["markups"][0]["controlPoints"][0]["position"] = [float(value) for value in ras]
        path.write_text(json.dumps(data))
    output = tmp_path / "out"
    options = ["--points", str(path), "--output", str(output), "--preset", "paper", "--json"]
    assert main(["segment", str(ward.paths[name]), *options]) == 0
    volume = ward.ill[name].volume
    labels = read_label(output / f"{name}.seg.nrrd", volume)
    plane, (i, j, k) = SlicePlane.of(volume), np.round(volume.ras_to_ijk_point(ras)).astype(int)
    assert labels[k, j, i] == 1
    assert (labels.any(axis=tuple(n for n in range(3) if n != 2 - plane.slice_axis))).sum() == 1
    assert not (output / f"{name}_anomaly.nii.gz").exists()
    assert record_of(output, name)["lesions"][0]["peak_score"] is None
    assert main(["correct", str(output / f"{name}.json"), "--ras", "--point", *words]) == 0


def test_points_outside_and_lists_are_told_apart(ward, tmp_path):
    from MIASSAMLib.cli.marks import marks_of_file
    from MIASSAMLib.method import PreparedVolume, Preprocessing

    prepared = PreparedVolume.of(read_volume(ward.paths["oblique"]), Preprocessing())

    def at(index, x, y):
        return tuple(prepared.volume.ijk_to_ras_point(prepared.plane.ijk(index, (x, y))))

    points = [MarkupPoint("a", at(1, 20, 30)), MarkupPoint("outside 1", at(1, 40, 30)), MarkupPoint("b", at(2, 9, 9))]
    path = write_markups(tmp_path / "p.mrk.json", points)
    data = json.loads(path.read_text())
    second = json.loads(write_markups(path, [MarkupPoint("c", at(1, 5, 6), "slice=1 lesion=7 outside")]).read_text())
    path.write_text(json.dumps({"markups": data["markups"] + second["markups"]}))
    marks = marks_of_file(path, prepared)
    assert [(mark.index, mark.lesion, mark.prompts.labels.tolist()) for mark in marks] == [
        (1, 1, [1, 0]), (1, 2, [0]), (2, 1, [1]),
    ]  # fmt: skip
    np.testing.assert_allclose(marks[0].prompts.xy, [[20, 30], [40, 30]], atol=1e-6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--point", "3", "4"], "give --slice N"),
        (["--slice", "1"], "nothing says what to outline"),
        (["--slice", "1", "--point", "3"], "--point got 1 numbers"),
        (["--slice", "1", "--box", "3", "4", "5"], "--box got 3 numbers"),
        (["--slice", "7", "--point", "3", "4"], "slice 7 is not in the volume"),
        (["--slice", "1", "--point", "300", "4"], "must lie within the slice"),
        (["--ras", "--point", "3000", "4", "0"], "lies outside oblique"),
        (["--slice", "1", "--point", "3", "4", "--lesion", "9"], "there is no such anomaly"),
        (["--slice", "1", "--remove", "--point", "3", "4"], "--remove takes an outline away"),
    ],
)
def test_a_correction_that_makes_no_sense_is_refused_and_changes_nothing(results, capsys, words, said):
    before = {path.name: path.read_bytes() for path in results.iterdir()}
    assert main(["correct", str(results / "oblique.json"), *words]) in (1, 2)
    assert said in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in results.iterdir()} == before


def test_another_volume_bank_or_edited_segmentation_is_refused(ward, results, tmp_path, capsys):
    path, point = str(results / "oblique.json"), ["--slice", "1", "--point", "30", "30"]
    assert main(["correct", path, *point, "--input", str(ward.paths["flipped"])]) == 1
    assert "is not the volume of this record" in capsys.readouterr().err
    bank = shutil.copytree(ward.bank, tmp_path / "b.bank")
    assert main(["correct", path, *point, "--bank", str(bank)]) == 0
    record = json.loads(Path(path).read_text())
    Path(path).write_text(json.dumps({**record, "bank": {**record["bank"], "manifest_sha256": "0" * 64}}))
    assert main(["correct", path, *point]) == 1
    assert "is not the bank of this record" in capsys.readouterr().err
    Path(path).write_text(json.dumps(record))
    import nrrd

    voxels, header = nrrd.read(str(results / "oblique.seg.nrrd"))
    nrrd.write(str(results / "oblique.seg.nrrd"), voxels, {**header, "Segment0_Name": "tumor"})
    assert main(["correct", path, *point]) == 1
    assert "changed in another program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "no markups file"),
        ('{"markups": []}', "no placed point"),
        ('{"markups": [{"type": "Line", "controlPoints": []}]}', "type Line came"),
        ('{"markups": [{"coordinateSystem": "IJK", "controlPoints": []}]}', "positions in IJK"),
        ('{"markups": [{"controlPoints": [{"label": "F", "position": [1, 2]}]}]}', "no position of three numbers"),
    ],
)
def test_a_file_without_usable_points_says_why(ward, tmp_path, capsys, text, said):
    path = tmp_path / "p.mrk.json"
    path.write_text(text)
    words = ["segment", str(ward.paths["oblique"]), "--points", str(path), "--output", str(tmp_path / "out")]
    assert main(words) == 1
    assert said in capsys.readouterr().out
