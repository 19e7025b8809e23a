"""Banks made into one, and banks made smaller by a coreset."""

from __future__ import annotations

import numpy as np
import pytest
from library.bank_helpers import build_bank, make_draft, make_rows, make_slices
from MIASSAMLib.bank import BankWriter, MemoryBank, merge_banks
from MIASSAMLib.errors import BankError, BankMismatchError, UsageError


def build(path, first: int, last: int, **draft) -> MemoryBank:
    with BankWriter(path, make_draft(**draft)) as writer:
        for number, rows in list(enumerate(make_slices(last)))[first:]:
            writer.add(f"volume{number}", rows, digest=f"digest{number}")
        return writer.finish({"mean": np.arange(3.0)})


def test_a_merged_bank_is_the_bank_built_at_once(tmp_path):
    build(tmp_path / "a.bank", 0, 3)
    build(tmp_path / "b.bank", 3, 5)
    whole = build(tmp_path / "whole.bank", 0, 5)
    merged = merge_banks([tmp_path / "a.bank", tmp_path / "b.bank"], tmp_path / "merged.bank")
    assert merged.manifest.sources == whole.manifest.sources
    assert merged.calibration == {}
    for name in ("patches.faiss", "patches_intensity.faiss"):
        assert (tmp_path / "merged.bank" / name).read_bytes() == (tmp_path / "whole.bank" / name).read_bytes()


def test_banks_of_different_models_axes_or_the_same_source_are_not_merged(tmp_path):
    build(tmp_path / "a.bank", 0, 2)
    build(tmp_path / "model.bank", 2, 4, model_name="vit_b", model_digest="01ec64")
    build(tmp_path / "axis.bank", 2, 4, slice_axis="coronal")
    build(tmp_path / "again.bank", 1, 3)
    for name, error, words in (
        ("model", BankMismatchError, r"model\.bank cannot be merged .* vit_b"),
        ("axis", BankMismatchError, "slice_axis coronal"),
        ("again", BankError, r"again\.bank holds volume1, which another"),
    ):
        with pytest.raises(error, match=words):
            merge_banks([tmp_path / "a.bank", tmp_path / f"{name}.bank"], tmp_path / "merged.bank")
        assert not list(tmp_path.glob("merged*"))
    with pytest.raises(UsageError, match="at least two"):
        merge_banks([tmp_path / "a.bank"], tmp_path / "merged.bank")


def test_two_files_of_the_same_name_are_told_apart_by_their_digest(tmp_path):
    for name, digest in (("a", "one"), ("b", "two")):
        with BankWriter(tmp_path / f"{name}.bank", make_draft()) as writer:
            writer.add("image.nii.gz", make_slices(1)[0], digest=digest)
            writer.finish()
    merged = merge_banks([tmp_path / "a.bank", tmp_path / "b.bank"], tmp_path / "merged.bank")
    assert [source.name for source in merged.manifest.sources] == ["image.nii.gz", "image.nii.gz (b.bank)"]


def test_a_selection_keeps_its_rows_and_says_so(tmp_path):
    def every_third(candidates):
        assert sum(len(chunk) for chunk in candidates.chunks) == candidates.n_rows
        return np.arange(0, candidates.n_rows, 3)

    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, rows in enumerate(make_slices(5)):
            writer.add(f"volume{number}", rows)
        writer.select(every_third)
        bank = writer.finish()
    stored = np.concatenate([rows["embedding"] for rows in make_slices(5)])[::3]
    np.testing.assert_array_equal(bank.rows_at("embedding", np.arange(len(stored))), stored)
    assert [source.n_patches["embedding"] for source in bank.manifest.sources] == [7, 7, 6, 7, 7]
    assert "34 of 100 new embedding patches were kept (coreset)" in bank.manifest.notes


def test_an_append_selects_among_the_new_rows_only(tmp_path):
    build_bank(tmp_path / "a.bank", n_slices=2)
    with BankWriter(tmp_path / "a.bank", make_draft(), append=True) as writer:
        writer.add("new", {"embedding": make_rows(30, 16, 50), "intensity": make_rows(30, 6, 50)})
        writer.select(lambda candidates: np.array([0, 29]))
        bank = writer.finish()
    assert bank.n_patches("embedding") == 42
    assert bank.manifest.sources[-1].n_patches == {"embedding": 2, "intensity": 2}
