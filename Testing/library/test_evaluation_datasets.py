"""Readers of BMAD and cases.csv: every layout, pairing by stem, and words for what is off."""

from __future__ import annotations

import numpy as np
import pytest
from library.evaluation_trees import lesion_mask, write_bmad
from MIASSAMLib.errors import InputError, UsageError
from MIASSAMLib.evaluation.bmad import find_bmad, group_of
from MIASSAMLib.evaluation.cases import make_folds, read_cases
from PIL import Image


@pytest.mark.parametrize("layout", ["bmad", "published"])
@pytest.mark.parametrize("name", ["brain", "liver", "retina"])
def test_every_layout_gives_the_same_cases(tmp_path, name, layout):
    write_bmad(tmp_path, name, layout)
    (data,) = find_bmad(tmp_path)
    assert data.name == name
    tests = data.of_role("test")
    sick = [case for case in tests if case.load().truth_kji.any()]
    assert len(tests) == 6 and [case.name.split("/")[0] for case in sick] == ["ungood"] * 3
    assert len(data.of_role("normal")) + len(data.of_role("calibration")) == 8


def test_folder_names_match_in_any_case_and_other_files_are_passed_over(tmp_path):
    folder = write_bmad(tmp_path, "liver", "bmad")
    (folder / "test" / "Ungood").rename(folder / "test" / "tmp")
    (folder / "test" / "tmp").rename(folder / "test" / "UNGOOD")
    (folder / "test").rename(folder / "Test")
    (folder / "train" / "good" / "notes.txt").write_text("no image")
    (data,) = find_bmad(folder)
    assert sum(case.load().truth_kji.any() for case in data.of_role("test")) == 3


def test_image_and_mask_are_paired_by_stem_not_by_position(tmp_path):
    folder = write_bmad(tmp_path, "liver", "bmad")
    masks = folder / "test" / "Ungood" / "anomaly_mask"
    rng = np.random.default_rng(0)
    Image.fromarray(lesion_mask(rng, (128, 128)).astype(np.uint8) * 255).save(masks / "aaa_first_by_name.png")
    (data,) = find_bmad(tmp_path)
    anomalous = [case for case in data.of_role("test") if case.load().truth_kji.any()]
    assert anomalous
    for case in anomalous:
        labeled = case.load()
        inside = labeled.volume.voxels_kji[labeled.truth_kji]
        assert inside.min() > 100, f"{case.name} carries the mask of another image"


def test_a_validation_split_calibrates_and_training_is_kept_whole(tmp_path):
    folder = write_bmad(tmp_path, "brain", "bmad")
    (folder / "valid" / "good" / "img").mkdir(parents=True)
    image = folder / "train" / "good" / "case_000_60.png"
    (folder / "valid" / "good" / "img" / "seen_1.png").write_bytes(image.read_bytes())
    (data,) = find_bmad(tmp_path)
    assert [case.name for case in data.of_role("calibration")] == ["held-out/seen_1"]
    assert len(data.of_role("normal")) == 8


def test_the_binarization_rule_decides_grey_mask_levels(tmp_path):
    write_bmad(tmp_path, "retina", "bmad")
    counts = [
        sum(case.load().truth_kji.any() for case in find_bmad(tmp_path, rule)[0].of_role("test"))
        for rule in (">0", "==255")
    ]
    assert counts == [3, 1]


def test_an_anomalous_image_without_a_mask_is_refused_by_name(tmp_path):
    folder = write_bmad(tmp_path, "brain", "bmad")
    next((folder / "test" / "Ungood" / "label").iterdir()).unlink()
    refused = []
    for case in find_bmad(tmp_path)[0].of_role("test"):
        try:
            case.load()
        except InputError as error:
            refused.append(str(error))
    assert len(refused) == 1 and "without a mask" in refused[0]


def test_a_mask_of_another_size_is_refused(tmp_path):
    folder = write_bmad(tmp_path, "brain", "bmad")
    for path in (folder / "test" / "Ungood" / "label").iterdir():
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    with pytest.raises(InputError, match="truth has"):
        [case for case in find_bmad(tmp_path)[0].cases if case.name.startswith("ungood")][0].load()


def test_all_three_sets_are_found_below_one_root_and_an_empty_root_is_refused(tmp_path):
    for name in ("brain", "liver", "retina"):
        write_bmad(tmp_path / "all", name, "bmad", 2, 1)
    assert [data.name for data in find_bmad(tmp_path / "all")] == ["brain", "liver", "retina"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no BMAD data set"):
        find_bmad(tmp_path / "empty")


def test_slices_of_a_patient_are_one_group():
    assert group_of("BraTS2021_00045_78") == group_of("BraTS2021_00045_79") == "BraTS2021_00045"
    assert group_of("1234") == "1234"


def _csv(tmp_path, text):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.full((16, 16), 7, np.uint8)).save(tmp_path / "m.png")
    path = tmp_path / "cases.csv"
    path.write_text(text)
    return path


HEADER = "case,image,mask,group,split\n"


def test_cases_csv_is_read_relative_to_its_folder(tmp_path):
    path = _csv(tmp_path, HEADER + "one,a.png,m.png,p1,\ntwo,a.png,,p2,\nthree,a.png,,,test\n")
    data = read_cases(path)
    assert [(case.name, case.group, case.role) for case in data.cases] == [
        ("one", "p1", "test"),
        ("two", "p2", "normal"),
        ("three", "three", "test"),
    ]
    assert data.cases[0].load().truth_kji.all() and not data.cases[1].load().truth_kji.any()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,mask\na.png,\n", "lacks the columns case"),
        (HEADER, "lists no case"),
        (HEADER + "one,,,,\n", "line 2"),
        (HEADER + "one,a.png,,,\ntwo,a.png,,,training\n", "line 3: split is 'training'"),
        (HEADER + "one,a.png,,,\none,a.png,,,\n", "occur twice"),
    ],
)
def test_a_faulty_cases_csv_is_refused_in_words(tmp_path, text, words):
    with pytest.raises(UsageError, match=words):
        read_cases(_csv(tmp_path, text))


def test_a_missing_image_is_named_when_its_turn_comes(tmp_path):
    data = read_cases(_csv(tmp_path, HEADER + "one,gone.png,,,test\n"))
    with pytest.raises(InputError, match=r"gone\.png does not exist"):
        data.cases[0].load()


def test_each_group_is_scored_by_a_bank_of_the_others(tmp_path):
    path = _csv(tmp_path, HEADER + "a1,a.png,m.png,a,\na2,a.png,,a,\nb,a.png,m.png,b,\nn,a.png,,c,normal\n")
    folds = make_folds(read_cases(path, leave_one_group_out=True), leave_one_group_out=True)
    assert [
        (fold.name, [case.name for case in fold.sources], [case.name for case in fold.scored]) for fold in folds
    ] == [
        ("a", ["b", "n"], ["a1", "a2"]),
        ("b", ["a1", "a2", "n"], ["b"]),
    ]
    with pytest.raises(UsageError, match="one group"):
        make_folds(read_cases(_csv(tmp_path, HEADER + "a1,a.png,m.png,a,\n"), True), True)
    with pytest.raises(UsageError, match="no normal case"):
        make_folds(read_cases(_csv(tmp_path, HEADER + "a1,a.png,m.png,a,\n")), False)
