"""The whole way on real volumes that lie beside the project."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from library.mrml_reading import read_segmentation_node, read_volume_node, segment_points_ras
from MIASSAMLib.cli.main import main
from MIASSAMLib.volume_io import read_volume

pytestmark = pytest.mark.usefixtures("shared_data")
DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SLICES = range(12, 15)


@pytest.fixture(scope="module")
def bank(tmp_path_factory) -> Path:
    """Bank of the normal slices of one patient."""
    path = tmp_path_factory.mktemp("real") / "brain.bank"
    words = ["bank", "build", str(DATA / "brain2_image.nrrd"), "--exclude-mask", str(DATA / "brain2_label.nrrd")]
    assert main([*words, "--output", str(path), "--json"]) == 0
    return path


@pytest.fixture(scope="module")
def output(bank, tmp_path_factory) -> Path:
    """Another patient's lesion slices, segmented."""
    output = tmp_path_factory.mktemp("real_out")
    words = ["segment", str(DATA / "brain1_image.nrrd"), "--bank", str(bank), "--output", str(output), "--json"]
    assert main([*words, "--slices", f"{SLICES.start}:{SLICES.stop}", "--all-slices"]) == 0
    return output


def test_lesion_slices_and_a_margin_of_two_are_left_out_of_the_bank(bank):
    manifest = json.loads((bank / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["n_slices"] == 23 - (10 - 8 + 1 + 2 * 2)


def test_record_covers_the_slices_asked_for_and_points_into_them(output):
    record = json.loads((output / "brain1_image.json").read_text(encoding="utf-8"))
    volume = read_volume(DATA / "brain1_image.nrrd")
    assert [item["slice"] for item in record["slices"]] == list(SLICES)
    findings = [(item["slice"], finding) for item in record["slices"] for finding in item["findings"]]
    assert findings
    for index, finding in findings:
        ijk = volume.ras_to_ijk_point(finding["cog_ras_mm"])
        np.testing.assert_allclose(ijk, finding["cog_ijk"], atol=1e-2)
        assert volume.contains_ijk(ijk) and round(float(ijk[2])) == index


def test_outputs_lie_on_the_patient_in_slicer(output):
    image = read_volume_node(DATA / "brain1_image.nrrd")
    heat = read_volume_node(output / "brain1_image_anomaly.nii.gz")
    np.testing.assert_allclose(heat.ijk_to_ras, image.ijk_to_ras, atol=1e-3)
    assert heat.voxels_kji.shape == image.voxels_kji.shape
    volume = read_volume(DATA / "brain1_image.nrrd")
    for segment in read_segmentation_node(output / "brain1_image.seg.nrrd"):
        ijk = volume.ras_to_ijk_point(segment_points_ras(segment))
        np.testing.assert_allclose(ijk, np.round(ijk), atol=1e-3)
        assert set(np.round(ijk[:, 2]).astype(int)) <= set(SLICES)


def test_ct_is_refused_by_a_bank_of_mri(bank, tmp_path, capsys):
    words = ["segment", str(DATA / "example_ct.nii.gz"), "--bank", str(bank), "--output", str(tmp_path), "--json"]
    assert main(words) == 1
    assert "example_ct looks like CT but the bank holds MRI" in capsys.readouterr().out
