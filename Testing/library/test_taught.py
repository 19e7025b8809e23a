"""A bank is taught that a region is normal: it is marked no more, and is again after it was taken back."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from library.bank_helpers import build_bank as build_small_bank
from library.bank_helpers import make_rows
from library.test_worker_composition import FakeCall, asked
from MIASSAMLib.api import open_segmenter, teach_normal
from MIASSAMLib.bank import BankWriter, Lesson, MemoryBank, bank_info, taught, teach, unteach, verify_bank
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import BankError, InputError
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume_io import write_volume
from MIASSAMLib.worker.engine import Engine


@pytest.fixture
def bank(brain_bank_path, tmp_path):
    """A copy of the brain bank."""
    return shutil.copytree(brain_bank_path, tmp_path / "brain.bank")


@pytest.fixture(scope="module")
def patient():
    return make_phantom("brain", 101, 2).volume


@pytest.fixture
def small(tmp_path):
    build_small_bank(tmp_path / "small.bank")
    return tmp_path / "small.bank"


def lesson_rows(seed: int = 9) -> dict[str, np.ndarray]:
    return {"embedding": make_rows(7, 16, seed), "intensity": make_rows(7, 6, seed)}


def labels(bank, volume, model) -> np.ndarray:
    return open_segmenter(bank, model).segment(volume).labels_kji


def test_what_was_called_normal_is_marked_no_more_and_again_after_undo(bank, patient, embedded_model):
    before = labels(bank, patient, embedded_model)
    one, other = (before == 1), (before == 2)
    assert one.sum() > 50 and other.sum() > 50
    reading = open_segmenter(bank, embedded_model).open(patient)
    teach_normal(bank, reading, one, "lesion 1")
    after = labels(bank, patient, embedded_model)
    assert not (one & (after > 0)).any()
    assert (other & (after > 0)).sum() > 0.8 * other.sum()
    unteach(bank)
    np.testing.assert_array_equal(labels(bank, patient, embedded_model), before)


def test_the_worker_teaches_and_takes_back_on_the_open_volume(bank, patient):
    call, engine = FakeCall(), Engine()
    call.arrays["voxels"] = patient.voxels_kji
    engine.open_volume(
        {"key": "v", "array": "voxels", "ijk_to_ras": patient.ijk_to_ras.tolist(), "name": "case"}, call
    )
    request = asked(bank, options={})
    engine.segment(request, call)
    before = call.arrays["labels"]
    call.arrays["normal"] = (before == 1).astype(np.uint8)
    lesson = engine.teach_normal({**request, "normal": "normal", "words": "a vessel", "by": "Reader 2"}, call)
    assert (lesson["source"], lesson["words"], lesson["by"]) == ("case", "a vessel", "Reader 2")
    n_encoded = engine.segment(request, call)["n_encoded"]
    assert n_encoded == 0, "the slices are encoded already"
    assert not (call.arrays["labels"][before == 1] > 0).any()
    engine.unteach(request, call)
    engine.segment(request, call)
    np.testing.assert_array_equal(call.arrays["labels"], before)


def test_the_command_line_teaches_from_files_and_says_so(bank, patient, tmp_path, capsys):
    scan, mask = tmp_path / "scan.nii.gz", tmp_path / "mask.nii.gz"
    write_volume(scan, patient)
    marked = np.zeros(patient.voxels_kji.shape, np.uint8)
    marked[10:12, 60:70, 60:70] = 1
    write_volume(mask, dataclasses.replace(patient, voxels_kji=marked))
    words = ["--region", str(mask), "--words", "a vein", "--by", "Reader 2"]
    assert main(["bank", "teach", str(bank), str(scan), *words]) == 0
    assert main(["bank", "info", str(bank)]) == 0
    told = capsys.readouterr().out
    assert "taught as normal: a vein of scan" in told and "by Reader 2" in told
    assert main(["bank", "unteach", str(bank)]) == 0
    assert "taken back: a vein of scan" in capsys.readouterr().out
    assert main(["bank", "unteach", str(bank)]) == 1


def test_taught_rows_are_found_and_the_banks_own_files_stay(small):
    own = {path.name: path.read_bytes() for path in small.iterdir()}
    rows = lesson_rows()
    assert (MemoryBank.load(small).search("embedding", rows["embedding"]) > 0).all()
    lesson = teach(small, rows, Lesson("case", "a vein", 1))
    opened = MemoryBank.load(small)
    distances, numbers = opened.search_neighbors("embedding", rows["embedding"])
    assert (distances == 0).all()
    np.testing.assert_array_equal(numbers, opened.n_patches("embedding") + np.arange(7))
    assert lesson.by and lesson.when.endswith("+00:00") and lesson.n_patches == {"embedding": 7, "intensity": 7}
    assert {name: (small / name).read_bytes() for name in own} == own
    assert not verify_bank(small) and len(bank_info(small)["taught"]) == 1
    teach(small, lesson_rows(11), Lesson("case", "another", 1))
    assert unteach(small).words == "another" and unteach(small).words == "a vein"
    assert {path.name: path.read_bytes() for path in small.iterdir()} == own


def test_a_process_that_is_killed_while_teaching_or_unteaching_loses_nothing(small, monkeypatch):
    def killed(*_arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(taught, "_write", killed)  # the rows are written, the lesson is not named yet
        with pytest.raises(KeyboardInterrupt):
            teach(small, lesson_rows(), Lesson("case", "lost", 1))
    assert not bank_info(small)["taught"] and not verify_bank(small)
    teach(small, lesson_rows(), Lesson("case", "kept", 1))
    with monkeypatch.context() as patched:
        patched.setattr(taught, "_write", killed)
        with pytest.raises(KeyboardInterrupt):
            unteach(small)
    assert [lesson["words"] for lesson in bank_info(small)["taught"]] == ["kept"]
    assert (MemoryBank.load(small).search("embedding", lesson_rows()["embedding"]) == 0).all()


def test_damage_and_what_does_not_fit_is_refused_by_name(small):
    teach(small, lesson_rows(), Lesson("case", "a vein", 1))
    with pytest.raises(BankError, match="takes rows of"):
        teach(small, {"embedding": make_rows(3, 8)}, Lesson("case", "", 1))
    with pytest.raises(BankError, match="no patch of the patient"):
        teach(small, {"embedding": make_rows(0, 16), "intensity": make_rows(0, 6)}, Lesson("case", "", 1))
    file = small / "taught-0001.npz"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20] + bytes(20))
    assert "taught-0001.npz is damaged" in verify_bank(small)[0]
    with pytest.raises(BankError, match=r"taught-0001\.npz is damaged"):
        MemoryBank.load(small)
    file.write_bytes(whole)
    (small / "taught.json").write_text('{"fits": 3}')
    with pytest.raises(BankError, match=r"taught\.json"):
        MemoryBank.load(small)


def test_a_bank_of_the_same_name_that_is_built_anew_is_untaught_and_one_that_grows_stays_taught(small):
    teach(small, lesson_rows(), Lesson("case", "a vein", 1))
    draft = MemoryBank.load(small).manifest.draft
    with BankWriter(small, draft, append=True) as writer:
        writer.add("new", lesson_rows(3))
        writer.finish()
    assert len(bank_info(small)["taught"]) == 1
    build_small_bank(small, overwrite=True)
    assert not bank_info(small)["taught"] and not list(small.glob("taught*"))


def test_a_region_that_is_empty_or_of_another_shape_is_refused(bank, patient, embedded_model):
    reading = open_segmenter(bank, embedded_model).open(patient)
    for region in (np.zeros(patient.voxels_kji.shape), np.ones((2, 2, 2))):
        with pytest.raises(InputError):
            teach_normal(bank, reading, region)
    assert not bank_info(bank)["taught"]
