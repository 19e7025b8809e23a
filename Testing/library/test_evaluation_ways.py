"""`miassam evaluate` without a bank and with several contrasts: rows of their own."""

from __future__ import annotations

import json

import nibabel
import pytest
from library.evaluation_trees import FakeModel, write_cases
from MIASSAMLib.cli.main import main


@pytest.fixture(autouse=True)
def fake(monkeypatch):
    """Let every run load one model that costs nothing."""
    monkeypatch.setattr("MIASSAMLib.api.open_model", lambda *words: FakeModel())


def rows_of(folder):
    rows = json.loads((folder / "metrics.json").read_text())["rows"]
    return [row for row in rows if row["method"] == "MIAS-SAM"]


def test_no_bank_and_all_contrasts_are_rows_of_their_own(tmp_path):
    cases = write_cases(tmp_path)
    for number in range(3):
        image = nibabel.load(tmp_path / f"image{number}.nii.gz")
        nibabel.save(
            nibabel.Nifti1Image(image.get_fdata()[::-1] + 5, image.affine), tmp_path / f"other{number}.nii.gz"
        )
    other = tmp_path / "other.csv"
    other.write_text(cases.read_text().replace(",image", ",other").replace("case,other", "case,image"))
    words = ["evaluate", "--cases", str(cases), "--leave-one-group-out", "--preset", "refined", "--prompt", "cog"]
    words += ["--mask", "auto", "--no-bank", "--with", str(other), "--output", str(tmp_path / "out")]
    assert main(words) == 0
    found = {row["preset"]: row["p_ap"] for row in rows_of(tmp_path / "out")}
    assert set(found) == {"refined", "no bank", "refined, all contrasts", "no bank, all contrasts"}
    assert len(set(found.values())) == 4


def test_no_bank_needs_no_normal_case_and_contrasts_list_the_same_cases(tmp_path, capsys):
    cases = write_cases(tmp_path, n_groups=1)
    words = ["evaluate", "--cases", str(cases), "--prompt", "cog", "--mask", "auto", "--output", str(tmp_path / "out")]
    assert main([*words, "--preset", "refined"]) == 2
    assert main([*words, "--preset", "none", "--no-bank"]) == 0
    assert [row["preset"] for row in rows_of(tmp_path / "out")] == ["no bank"]
    other = tmp_path / "other.csv"
    other.write_text(cases.read_text().replace("case0", "case7"))
    assert main([*words, "--preset", "none", "--no-bank", "--with", str(other)]) == 2
    assert "case0, case7 differ" in capsys.readouterr().err
