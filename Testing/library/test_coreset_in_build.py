"""A bank built with a coreset: smaller, calibrated on what it keeps, and it says so."""

from __future__ import annotations

import numpy as np
import pytest
from library.bank_helpers import brute_force, make_draft, make_slices
from library.distributed_helpers import brain_sources
from MIASSAMLib.build import BuildOptions, build_bank
from MIASSAMLib.config import preset
from MIASSAMLib.errors import UsageError
from MIASSAMLib.memory_bank import BankWriter
from MIASSAMLib.sam import load_model


@pytest.fixture(scope="module")
def model():
    return load_model("embedded", device="cpu")


def test_a_coreset_bank_is_smaller_and_calibrated_on_what_it_keeps(tmp_path, model):
    config = preset("refined")
    whole = build_bank(tmp_path / "whole.bank", brain_sources(3), model, config)
    options = BuildOptions(coreset_ratio=0.1)
    small = build_bank(tmp_path / "small.bank", brain_sources(3), model, config, options)
    for kind in whole.kinds:
        assert small.n_patches(kind) == round(0.1 * whole.n_patches(kind))
    assert any("(coreset)" in note for note in small.manifest.notes)
    assert small.calibration["kind_embedding"][0] > 1.02 * whole.calibration["kind_embedding"][0]


def test_a_bad_ratio_is_refused_before_the_work(tmp_path, model):
    with pytest.raises(UsageError, match="coreset ratio is 2"):
        build_bank(tmp_path / "a.bank", brain_sources(1), model, preset("paper"), BuildOptions(coreset_ratio=2))
    assert not list(tmp_path.iterdir())


def test_an_append_is_calibrated_against_the_older_rows_too(tmp_path):
    slices = make_slices(3)
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        writer.add("old", slices[0])
        writer.finish()
    with BankWriter(tmp_path / "a.bank", make_draft(), append=True) as writer:
        writer.add("new1", slices[1])
        writer.add("new2", slices[2])
        assert [part.source for part in writer.parts()] == ["old", "new1", "new2"]
        scores = writer.search_excluding("embedding", slices[1]["embedding"], [False, True, False])
        left = np.concatenate([slices[0]["embedding"], slices[2]["embedding"]])
        np.testing.assert_allclose(scores, brute_force(slices[1]["embedding"], left), rtol=1e-4)


def test_a_running_build_searches_only_what_was_selected(tmp_path):
    slices = make_slices(4)
    rows = np.concatenate([one["embedding"] for one in slices])
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, one in enumerate(slices):
            writer.add(f"volume{number}", one)
        excluded = [False, True, False, False]
        queries = slices[1]["embedding"]
        left = np.concatenate([rows[:20], rows[40:]])
        np.testing.assert_allclose(
            writer.search_excluding("embedding", queries, excluded), brute_force(queries, left), rtol=1e-4
        )
        writer.select(lambda kind, chunks, n_rows: np.arange(0, n_rows, 7))
        kept = np.arange(0, 80, 7)
        left = rows[kept[(kept < 20) | (kept >= 40)]]
        np.testing.assert_allclose(
            writer.search_excluding("embedding", queries, excluded), brute_force(queries, left), rtol=1e-4
        )
