"""The command line on files: every output of a case, bad inputs, and the same answer from every format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from library.mrml_reading import read_markups_node, read_segmentation_node, read_volume_node, segment_points_ras
from library.test_volume_io_dicom import write_series
from MIASSAMLib.cli.main import main
from MIASSAMLib.phantoms import Grid, make_phantom, vary
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import read_volume, write_volume

GRID = Grid.centered((3, 72, 64), (3.0, 3.0, 30.0))
ENDINGS = (".seg.nrrd", "_anomaly.nii.gz", "_cog.mrk.json", ".json", ".png")


def _rounded(volume: Volume, name: str) -> Volume:
    """Return a volume of whole numbers, which every format keeps."""
    return Volume(np.round(volume.voxels_kji), volume.ijk_to_ras, name, volume.modality)


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> SimpleNamespace:
    """A bank of two normal heads, and one head with lesions in several formats and geometries."""
    folder = tmp_path_factory.mktemp("house")
    normals = [folder / f"normal{seed}.nii.gz" for seed in (1, 2)]
    for seed, path in zip((1, 2), normals):
        write_volume(path, make_phantom("brain", seed, 0, GRID).volume)
    ill = make_phantom("brain", 6, 1, vary(GRID, "oblique"))
    path = write_volume(folder / "ill.nrrd", _rounded(ill.volume, "ill"))
    bank = folder / "head.bank"
    assert main(["bank", "build", *map(str, normals), "--preset", "paper", "--output", str(bank), "--json"]) == 0
    return SimpleNamespace(folder=folder, bank=bank, ill=ill, path=path)


def segment(house, output: Path, *inputs, options=("--all-slices",)) -> int:
    words = ["segment", *map(str, inputs), "--bank", str(house.bank), "--output", str(output), *options, "--json"]
    return main(words)


@pytest.fixture(scope="module")
def done(house, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out") / "new" / "føldér"
    assert segment(house, output, house.path) == 0
    return output


def test_every_output_of_the_design_is_written_and_nothing_else(done):
    names = {f"ill{end}" for end in ENDINGS} | {"report.html", "cases.csv", "lesions.csv", "slices.csv"}
    assert {path.name for path in done.iterdir()} == names
    assert all(path.stat().st_size > 200 for path in done.iterdir())


def test_outputs_agree_with_one_another_in_slicer(house, done):
    record = json.loads((done / "ill.json").read_text(encoding="utf-8"))
    findings = [(item, finding) for item in record["slices"] for finding in item["findings"]]
    points = read_markups_node(done / "ill_cog.mrk.json")
    assert len(points) == len(findings) > 0
    for point, (item, finding) in zip(points, findings):
        np.testing.assert_allclose(point.ras, finding["cog_ras_mm"], atol=1e-3)
        np.testing.assert_allclose(house.ill.volume.ijk_to_ras_point(finding["cog_ijk"]), point.ras, atol=1e-2)
        assert f"slice {item['slice']}" in point.label and round(finding["cog_ijk"][2]) == item["slice"]
    heat = read_volume_node(done / "ill_anomaly.nii.gz")
    volume = read_volume_node(house.path)
    np.testing.assert_allclose(heat.ijk_to_ras, volume.ijk_to_ras, atol=1e-4)
    assert heat.voxels_kji.shape == volume.voxels_kji.shape and heat.voxels_kji.dtype == np.float32
    segments = read_segmentation_node(done / "ill.seg.nrrd")
    n_voxels = sum(len(segment_points_ras(segment)) for segment in segments)
    assert n_voxels > 0
    for segment_node in segments:
        kji = house.ill.volume.ras_to_ijk_point(segment_points_ras(segment_node))
        np.testing.assert_allclose(kji, np.round(kji), atol=1e-3)


def test_record_tells_config_model_bank_scores_areas_and_times(done):
    record = json.loads((done / "ill.json").read_text(encoding="utf-8"))
    assert record["config"]["preset"] == "paper" and len(record["model"]["sha256"]) == 64
    assert record["model"]["device"] and record["timings_s"] and len(record["slices"]) == 3
    finding = next(finding for item in record["slices"] for finding in item["findings"])
    assert finding["area_mm2"] > 0 and len(finding["masks_area_mm2"]) == 3
    assert 0 <= finding["predicted_iou"] <= 1.2 and finding["score"] > 0
    assert all(np.isfinite(item["image_score"]) for item in record["slices"])


def test_record_names_the_bank(house, done):
    assert "head.bank" in json.dumps(json.loads((done / "ill.json").read_text(encoding="utf-8")))


def _masks(output: Path, name: str) -> np.ndarray:
    voxels = read_volume(output / f"{name}_anomaly.nii.gz").voxels_kji
    segments = json.loads((output / f"{name}.json").read_text(encoding="utf-8"))["slices"]
    return voxels, [[f["area_mm2"] for f in item["findings"]] for item in segments]


@pytest.mark.parametrize("form", ["nii.gz", "dicom"])
def test_other_formats_give_the_same_result(form, house, done, tmp_path):
    volume = read_volume(house.path)
    path = tmp_path / ("ill" if form == "dicom" else f"ill.{form}")
    if form == "dicom":
        lps = np.diag([-1.0, -1, 1]) @ volume.ijk_to_ras[:3, :3] / volume.spacing_mm
        origin = np.diag([-1.0, -1, 1]) @ volume.ijk_to_ras[:3, 3]
        write_series(path, volume.voxels_kji, tuple(volume.spacing_mm), lps, origin=origin)
    else:
        write_volume(path, volume)
    assert segment(house, tmp_path / "out", path) == 0
    expected, areas = _masks(done, "ill")
    heat, found = _masks(tmp_path / "out", "ill")
    np.testing.assert_allclose(heat, expected, atol=1e-3)
    np.testing.assert_allclose(np.array(found), np.array(areas), rtol=1e-3)


def test_bad_inputs_fail_alone_with_their_reason(house, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    holes = read_volume(house.path)
    holes.voxels_kji[0, 0, 0] = np.nan
    whole = write_volume(tmp_path / "in" / "holes.nii.gz", holes).read_bytes()
    (tmp_path / "in" / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "in" / "empty.nrrd").touch()
    nan = np.full((6, 20, 20), np.nan, np.float32)
    write_volume(tmp_path / "in" / "nan.mha", Volume(nan, np.eye(4)))
    assert segment(house, tmp_path / "out", tmp_path / "in") == 1
    with open(tmp_path / "out" / "cases.csv", encoding="utf-8", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "cut": "failed",
        "empty": "failed",
        "holes": "done",
        "nan": "failed",
    }
    assert "cut short or damaged" in rows["cut"]["reason"] and "file is empty" in rows["empty"]["reason"]
    assert "every voxel is NaN" in rows["nan"]["reason"]
    assert "1 of " in rows["holes"]["notes"] and "NaN or infinite" in rows["holes"]["notes"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "cut short or damaged" in page and "data:image/jpeg" in page
    assert not list((tmp_path / "out").glob(".miassam-*"))


def test_constant_volume_gives_an_empty_segmentation_that_says_why(house, tmp_path):
    path = write_volume(tmp_path / "flat.nrrd", Volume(np.full((6, 40, 40), 7, np.float32), np.eye(4)))
    assert segment(house, tmp_path / "out", path) == 0
    record = json.loads((tmp_path / "out" / "flat.json").read_text())
    assert record["is_normal"] and all("constant" in item["note"] for item in record["slices"])
    assert all(len(segment_points_ras(s)) == 0 for s in read_segmentation_node(tmp_path / "out" / "flat.seg.nrrd"))


def test_output_that_cannot_be_written_is_found_before_the_work(house, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("MIASSAMLib.cli.segment.open_choice", lambda *_: pytest.fail("the work had begun"))
    assert segment(house, tmp_path / "file" / "out", house.path) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_output_never_overwrites_an_input(house, tmp_path, capsys):
    from PIL import Image

    pixels = read_volume(house.path).voxels_kji[1]
    Image.fromarray(np.clip(pixels / 5, 0, 255).astype(np.uint8)).save(tmp_path / "slice.png")
    before = (tmp_path / "slice.png").read_bytes()
    assert segment(house, tmp_path, tmp_path / "slice.png") == 2
    assert "would be overwritten; choose another output folder" in capsys.readouterr().err
    assert (tmp_path / "slice.png").read_bytes() == before
    assert segment(house, tmp_path / "out", tmp_path / "slice.png", options=("--all-slices", "--modality", "mri")) == 0


def test_no_slice_selected_is_refused_with_the_slices_there_are(house, tmp_path, capsys):
    assert segment(house, tmp_path, house.path, options=("--slices", "40:50")) == 2
    said = capsys.readouterr()
    assert "this volume has slices 0:3" in said.err + said.out
    assert segment(house, tmp_path, house.path, options=("--slices", "2:2")) == 2
    assert "selects nothing" in capsys.readouterr().err


def test_volume_of_another_modality_than_the_bank_is_refused(house, tmp_path, capsys):
    ct = make_phantom("liver", 1, 0, Grid.centered((2, 60, 60), (5.0, 5, 40)))
    path = write_volume(tmp_path / "abdomen.nii.gz", ct.volume)
    assert segment(house, tmp_path / "out", path) == 1
    assert "CT" in capsys.readouterr().out


def test_empty_mask_folder_is_refused(house, tmp_path, capsys):
    (tmp_path / "masks").mkdir()
    words = ["bank", "build", str(house.path), "--exclude-mask", str(tmp_path / "masks"), "--output"]
    assert main([*words, str(tmp_path / "x.bank")]) == 1
    assert "holds no image" in capsys.readouterr().err


def test_bank_of_two_modalities_is_refused(house, tmp_path, capsys):
    ct = make_phantom("liver", 1, 0, Grid.centered((2, 60, 60), (5.0, 5, 40)))
    path = write_volume(tmp_path / "abdomen.nii.gz", ct.volume)
    assert main(["bank", "build", str(house.path), str(path), "--output", str(tmp_path / "x.bank")]) == 1
    assert "abdomen looks like CT but the first volume like MRI" in capsys.readouterr().err


def test_bank_names_its_sources_with_digests(house):
    manifest = json.loads((house.bank / "manifest.json").read_text(encoding="utf-8"))
    digests = [source["digest"] for source in manifest["sources"]]
    assert len(digests) == 2 and all(len(digest) == 64 for digest in digests) and digests[0] != digests[1]
