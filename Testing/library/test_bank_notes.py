"""A bank that probably does not fit a volume is told, by command line and worker alike."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from MIASSAMLib import build_bank, open_segmenter
from MIASSAMLib.cli.main import main
from MIASSAMLib.phantoms import default_grid, make_phantom
from MIASSAMLib.volume_io import write_volume


@pytest.fixture(scope="module")
def folder(tmp_path_factory, embedded_model):
    """Two phantoms as files, and a bank of the first, of paper's rows: notes do not depend on the preset."""
    folder = tmp_path_factory.mktemp("notes")
    grid = replace(default_grid("brain"), shape_kji=(4, *default_grid("brain").shape_kji[1:]))
    for seed in (0, 1):
        write_volume(folder / f"{seed}.nii.gz", make_phantom("brain", seed, 0, grid).volume)
    build_bank(folder / "one.bank", [folder / "0.nii.gz"], model=embedded_model, preset="paper")
    return folder


def notes_of(folder, name, tmp_path):
    command = [
        "segment",
        str(folder / name),
        "--bank",
        str(folder / "one.bank"),
        "--output",
        str(tmp_path),
        "--slices",
    ]
    assert main([*command, "1:2"]) == 0
    (record,) = tmp_path.glob("?.json")
    return " ".join(json.loads(record.read_text())["notes"])


def test_a_bank_of_one_volume_is_told(folder, tmp_path):
    notes = notes_of(folder, "1.nii.gz", tmp_path)
    assert "one volume only" in notes
    assert "this very volume" not in notes and "slices are" not in notes


def test_a_volume_that_the_bank_was_built_from_is_told(folder, tmp_path):
    assert "built from this very volume (0)" in notes_of(folder, "0.nii.gz", tmp_path)


def test_slices_cut_otherwise_than_the_banks_are_told(folder, embedded_model):
    segmenter = open_segmenter(folder / "one.bank", embedded_model)
    phantom = make_phantom("brain", 1, 0, replace(default_grid("brain"), shape_kji=(4, 64, 64))).volume
    turned = np.array([[0, 0, 5.0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    case = segmenter.segment(replace(phantom, ijk_to_ras=turned))
    assert any("slices are sagittal but the bank's are axial" in note for note in case.notes)
