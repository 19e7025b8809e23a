"""The demo as a user runs it, with fewer phantoms; and the command line's help and errors."""

from __future__ import annotations

import json

import pytest
from MIASSAMLib.cli import demo, main
from MIASSAMLib.sam import MODEL_NAMES


@pytest.fixture(scope="module")
def demo_output(tmp_path_factory):
    output = tmp_path_factory.mktemp("demo")
    patch = pytest.MonkeyPatch()
    patch.setattr(demo, "N_NORMAL", 3)
    patch.setattr(demo, "CASES", (demo.DemoCase("brain", 101, 1, "oblique"), demo.DemoCase("brain", 103, 0)))
    code = main(["demo", "--output", str(output), "--kind", "brain"])
    patch.undo()
    assert code == 0
    return output


def test_the_demo_writes_every_file_of_a_case(demo_output):
    names = {path.name for path in demo_output.iterdir()}
    for suffix in (".seg.nrrd", "_anomaly.nii.gz", "_cog.mrk.json", ".json", ".png", ".nii.gz"):
        assert f"brain_lesions_101{suffix}" in names
    assert {"brain.bank", "cases.csv", "report.html", "demo.json"} <= names


def test_the_demo_finds_the_lesion_and_leaves_the_normal_brain_empty(demo_output):
    ill, normal = json.loads((demo_output / "demo.json").read_text())["cases"]
    assert ill["found_lesions"] == ill["true_lesions"] == 1
    assert ill["dice"] > 0.4 and ill["cog_in_lesion"] > 0.5
    assert normal["true_lesions"] == 0 and normal["dice"] == 1.0


def test_no_command_shows_the_help_and_is_a_usage_error(capsys):
    assert main([]) == 2
    assert "segment" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["bank"], ["segment"], ["models", "fetch"], ["demo"]])
def test_a_half_typed_command_is_a_usage_error(words):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2


def test_a_wrong_slice_range_says_what_is_wanted(tmp_path, capsys):
    code = main(["segment", "x.nii", "--bank", "b.bank", "--output", str(tmp_path), "--slices", "a:b"])
    assert code == 2
    assert "give a range A:B such as 40:80" in capsys.readouterr().err


def test_models_list_knows_the_embedded_model(capsys):
    assert main(["models", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["embedded"]["is_present"] and tuple(rows) == MODEL_NAMES
