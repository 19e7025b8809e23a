"""A bank on disk: what is stored comes back, and whatever was damaged is refused by name."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from library.bank_helpers import brute_force, build_bank, make_draft, make_rows, make_slices
from MIASSAMLib.bank import BankWriter, MemoryBank, verify_bank
from MIASSAMLib.config import PRESETS
from MIASSAMLib.errors import BankError, BankMismatchError


def test_a_bank_gives_back_what_was_put_in(tmp_path):
    calibration = {"mean": np.arange(4.0), "spread": np.ones((2, 3), np.float32)}
    build_bank(tmp_path / "a.bank", calibration=calibration)
    bank = MemoryBank.load(tmp_path / "a.bank")
    assert bank.kinds == ("embedding", "intensity")
    assert (bank.n_patches("embedding"), bank.dimension("embedding")) == (100, 16)
    assert (bank.n_patches("intensity"), bank.dimension("intensity")) == (100, 6)
    assert set(bank.calibration) == {"mean", "spread"}
    np.testing.assert_array_equal(bank.calibration["spread"], calibration["spread"])
    assert bank.manifest.n_slices == 5
    assert [(s.name, s.n_slices, s.n_patches["embedding"]) for s in bank.manifest.sources] == [
        ("volume0", 2, 40),
        ("volume1", 2, 40),
        ("volume2", 1, 20),
    ]
    assert bank.manifest.draft == make_draft()


def test_scores_are_squared_distances_to_the_true_nearest_patch(tmp_path):
    build_bank(tmp_path / "a.bank")
    bank = MemoryBank.load(tmp_path / "a.bank")
    stored = np.concatenate([rows["embedding"] for rows in make_slices(5)])
    queries = np.concatenate([make_rows(50, seed=99), stored[:3]])
    scores = bank.search("embedding", queries)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, brute_force(queries, stored), rtol=1e-5, atol=1e-6)
    assert (scores[-3:] == 0).all()


def test_a_stored_patch_far_from_the_origin_still_scores_zero(tmp_path):
    rows = make_rows(2000, 64) + np.float32(100)
    bank = MemoryBank.from_rows({"embedding": rows}, make_draft())
    assert (bank.search("embedding", rows[:500]) == 0).all()


def test_a_bank_in_memory_searches_like_the_one_on_disk(tmp_path):
    on_disk = build_bank(tmp_path / "a.bank")
    slices = make_slices(5)
    rows = {kind: np.concatenate([s[kind] for s in slices]) for kind in ("embedding", "intensity")}
    in_memory = MemoryBank.from_rows(rows, make_draft())
    for kind, dimension in (("embedding", 16), ("intensity", 6)):
        queries = make_rows(30, dimension, seed=7)
        np.testing.assert_array_equal(on_disk.search(kind, queries), in_memory.search(kind, queries))


def test_every_damaged_or_missing_file_is_refused_by_name(tmp_path):
    folder = tmp_path / "a.bank"
    build_bank(folder, calibration={"mean": np.arange(40.0)})
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["calibration.npz", "manifest.json", "patches.faiss", "patches_intensity.faiss"]
    generator = np.random.default_rng(0)
    for _ in range(200):
        path = folder / names[generator.integers(len(names))]
        original = path.read_bytes()
        path.write_bytes(_mutated(original, generator))
        with pytest.raises(BankError, match=path.name):
            MemoryBank.load(folder)
        assert path.name in " ".join(verify_bank(folder))
        path.write_bytes(original)
    for name in names:
        original = (folder / name).read_bytes()
        (folder / name).unlink()
        with pytest.raises(BankError, match=f"{name} is missing"):
            MemoryBank.load(folder)
        (folder / name).write_bytes(original)
    assert verify_bank(folder) == []
    MemoryBank.load(folder)


def _mutated(data: bytes, generator: np.random.Generator) -> bytes:
    position, way = int(generator.integers(len(data))), int(generator.integers(4))
    if way == 0:
        return data[:position]
    if way == 1:
        return data + bytes([int(generator.integers(256))])
    if way == 2:
        return data[:position] + data[position + 1 :]
    changed = bytearray(data)
    changed[position] ^= 1 << int(generator.integers(8))
    return bytes(changed)


def test_a_newer_format_is_named_instead_of_called_damaged(tmp_path):
    build_bank(tmp_path / "a.bank")
    path = tmp_path / "a.bank" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format_version": 9}))
    with pytest.raises(BankError, match="format version 9 and this program reads 3"):
        MemoryBank.load(tmp_path / "a.bank")


def test_an_ordinary_folder_is_no_bank(tmp_path):
    with pytest.raises(BankError, match="no memory bank"):
        MemoryBank.load(tmp_path)
    with pytest.raises(BankError, match="not a memory bank folder"):
        MemoryBank.load(tmp_path / "nothing")


def test_another_encoder_is_refused_and_both_are_named(tmp_path):
    bank = build_bank(tmp_path / "a.bank")
    config = dict(make_draft().config)
    bank.check_fits(config, "renamed file", "abcdef0123456789")
    with pytest.raises(BankMismatchError, match=r"embedded \(abcdef\).*vit_b \(01ec64\)"):
        bank.check_fits(config, "vit_b", "01ec64")


def test_another_patch_setting_is_refused_and_both_are_named(tmp_path):
    bank = build_bank(tmp_path / "a.bank")
    config = {**make_draft().config, "stride": 4}
    with pytest.raises(BankMismatchError, match="stride is 2 in the bank and 4 in the config"):
        bank.check_fits(config, "embedded", "abcdef0123456789")
    bank.check_fits({**make_draft().config, "gamma": 2, "features": ("embedding",)}, "embedded", "abcdef0123456789")


def test_every_number_that_decides_a_row_is_compared_and_what_a_preset_lacks_is_not(tmp_path):
    draft = make_draft(config=PRESETS["refined"].to_dict())
    bank = replace(build_bank(tmp_path / "a.bank").manifest, draft=draft)
    refined, paper = PRESETS["refined"].to_dict(), PRESETS["paper"].to_dict()
    for key in ("intensity_means_px", "window_medians", "speck_share"):
        with pytest.raises(BankMismatchError, match=key):
            bank.check_fits({**refined, key: 7.0}, "embedded", "abcdef0123456789")
    assert "place_weight" not in paper and "foreground_only" not in refined
    bank.check_fits({**paper, "foreground_only": True}, "embedded", "abcdef0123456789")
    with pytest.raises(BankMismatchError, match="foreground_only is True in the bank and False in the config"):
        bank.check_fits(paper, "embedded", "abcdef0123456789")


@pytest.mark.parametrize(
    ("kind", "queries", "words"),
    [
        ("embedding", np.zeros((2, 6400), np.float32), "holds 16-D patches but the query is 6400-D"),
        ("texture", np.zeros((2, 16), np.float32), "holds the feature kinds embedding, intensity but texture"),
    ],
)
def test_queries_that_do_not_fit_are_refused(tmp_path, kind, queries, words):
    with pytest.raises(BankMismatchError, match=words):
        build_bank(tmp_path / "a.bank").search(kind, queries)


def test_nan_never_enters_a_bank_or_a_search(tmp_path):
    bank = build_bank(tmp_path / "a.bank")
    queries = make_rows(3)
    queries[1, 2] = np.nan
    with pytest.raises(BankError, match="NaN"):
        bank.search("embedding", queries)
    with BankWriter(tmp_path / "b.bank", make_draft()) as writer, pytest.raises(BankError, match="NaN"):
        writer.add("volume", {"embedding": queries})
