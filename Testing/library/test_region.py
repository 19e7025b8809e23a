"""A region: only the organ is compared, calibrated and marked, by every door."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from library.mrml_reading import read_segmentation_node, segment_points_ras
from MIASSAMLib import build_bank, open_segmenter
from MIASSAMLib.api import bounded
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.method import UserPrompts
from MIASSAMLib.phantoms import default_grid, make_phantom
from MIASSAMLib.volume import Volume
from MIASSAMLib.volume_io import write_volume

N = 6
GRID = replace(default_grid("brain"), shape_kji=(N, *default_grid("brain").shape_kji[1:]))


def left_half(volume: Volume) -> np.ndarray:
    """The half of a volume on the patient's left, by RAS and not by storage order."""
    ijk = np.moveaxis(np.indices(volume.shape_kji)[::-1], 0, -1).reshape(-1, 3)
    x = ijk @ volume.ijk_to_ras[0, :3] + volume.ijk_to_ras[0, 3]
    middle = float(np.median(x[volume.voxels_kji.ravel() > volume.voxels_kji.mean()]))
    return (x < middle).reshape(volume.shape_kji)


def with_two_lesions() -> Volume:
    volume = make_phantom("brain", 7, 0, GRID).volume
    voxels, (_, height, width) = volume.voxels_kji.copy(), volume.shape_kji
    bright = 1.8 * np.median(voxels[voxels > voxels.mean()])
    rows = slice(height // 2 - 12, height // 2 + 12)
    for column in (width // 3, 2 * width // 3):
        voxels[2:4, rows, column - 12 : column + 12] = bright
    return replace(volume, voxels_kji=voxels)


@pytest.fixture(scope="module")
def house(tmp_path_factory, embedded_model):
    """A bank of left halves, and a case with a lesion on either side, as files."""
    folder = tmp_path_factory.mktemp("region")
    normals = [make_phantom("brain", seed, 0, GRID).volume for seed in range(3)]
    halves = [left_half(each) for each in normals]
    build_bank(folder / "left.bank", normals, model=embedded_model, regions=halves)
    build_bank(folder / "left_paper.bank", normals, model=embedded_model, preset="paper", regions=halves)
    case = with_two_lesions()
    write_volume(folder / "ill.nii.gz", case)
    write_volume(folder / "ill_left.nii.gz", replace(case, voxels_kji=left_half(case).astype(np.float32)))
    return folder, case


@pytest.mark.parametrize(("preset", "bank"), [("refined", "left.bank"), ("paper", "left_paper.bank")])
def test_only_the_region_is_marked_and_the_map_ends_there(house, embedded_model, preset, bank):
    folder, case = house
    segmenter = open_segmenter(folder / bank, embedded_model, preset)
    inside = left_half(case)
    everywhere = segmenter.segment(case)
    result = segmenter.segment(bounded(case, inside))
    assert (everywhere.labels_kji > 0)[~inside].any(), "without a region the other side is marked, too"
    assert (result.labels_kji > 0).any() and not (result.labels_kji > 0)[~inside].any()
    outside = np.unique(result.heat_kji[~inside & ~np.roll(inside, 4, 2) & ~np.roll(inside, -4, 2)])
    assert len(outside) == 1 and result.heat_kji.max() > outside[0]
    assert "only the region was compared and marked" in result.notes


def test_a_bank_holds_fewer_rows_of_a_region_than_of_the_whole(house, embedded_model, tmp_path):
    normal = make_phantom("brain", 0, 0, GRID).volume
    for preset in ("paper", "refined"):
        whole, part = (
            build_bank(tmp_path / f"{preset}{n}.bank", [normal], model=embedded_model, preset=preset, regions=regions)
            for n, regions in enumerate(([], [left_half(normal)]))
        )
        assert 0.2 < part.n_patches("embedding") / whole.n_patches("embedding") < 0.75


def test_a_point_outside_the_region_is_obeyed(house, embedded_model):
    folder, case = house
    segmenter = open_segmenter(folder / "left.bank", embedded_model)
    reading = segmenter.open(bounded(case, left_half(case)))
    plane = reading.prepared.plane
    region, lesion = reading.prepared.region(2), plane.take(case.voxels_kji, 2) > 1.7 * np.median(case.voxels_kji)
    rows, columns = np.nonzero(lesion & ~region)
    point = np.array([columns.mean(), rows.mean()]).round()
    mask = segmenter.correct(reading, 2, UserPrompts.inside_at(point)).mask
    assert mask[int(point[1]), int(point[0])]


def test_the_command_line_takes_a_region_by_name_or_beside_its_volume(house, tmp_path):
    folder, case = house
    named, beside = tmp_path / "named", tmp_path / "beside"
    command = ["segment", str(folder / "ill.nii.gz"), "--bank", str(folder / "left.bank"), "--output"]
    assert main([*command, str(named), "--region", str(folder / "ill_left.nii.gz")]) == 0
    many = ["segment", str(folder / "ill.nii.gz"), str(folder / "ill_left.nii.gz"), *command[2:]]
    assert main([*many, str(beside), "--regions-suffix", "_left"]) == 0
    first, second = (json.loads((output / "ill.json").read_text()) for output in (named, beside))
    assert first["lesions"] == second["lesions"] != []
    assert first["volume"]["region"]["n_voxels"] == int(left_half(case).sum())
    points = np.concatenate([segment_points_ras(each) for each in read_segmentation_node(named / "ill.seg.nrrd")])
    assert points[:, 0].max() <= _region_ras(case)[:, 0].max() + 1e-3, "nothing lies right of the region"
    with open(named / "lesions.csv", encoding="utf-8-sig") as file:
        shares = [float(row["region_share"]) for row in csv.DictReader(file)]
    assert all(0 < share < 0.5 for share in shares)


def _region_ras(case: Volume) -> np.ndarray:
    ijk = np.argwhere(left_half(case))[:, ::-1]
    return ijk @ case.ijk_to_ras[:3, :3].T + case.ijk_to_ras[:3, 3]


def test_resume_does_not_take_the_result_of_another_region(house, tmp_path, capsys):
    folder, case = house
    other = write_volume(tmp_path / "other.nii.gz", replace(case, voxels_kji=(~left_half(case)).astype(np.float32)))
    command = ["segment", str(folder / "ill.nii.gz"), "--bank", str(folder / "left.bank"), "--resume", "--output"]
    records = []
    for region in (folder / "ill_left.nii.gz", other):
        assert main([*command, str(tmp_path / "out"), "--region", str(region)]) == 0
        records.append(json.loads((tmp_path / "out" / "ill.json").read_text()))
    assert records[0]["volume"]["region"]["sha256"] != records[1]["volume"]["region"]["sha256"]


def test_a_region_that_cannot_be_is_refused():
    volume = Volume(np.ones((2, 8, 8), np.float32), np.eye(4), "v", "mri")
    with pytest.raises(InputError, match="the region is empty"):
        bounded(volume, np.zeros((2, 8, 8)))
    with pytest.raises(InputError, match=r"region has shape \(2, 8, 9\)"):
        bounded(volume, np.ones((2, 8, 9)))
    with pytest.raises(UsageError, match="1 regions came for 2 volumes"):
        build_bank("x.bank", [volume, volume], regions=[np.ones((2, 8, 8))])
