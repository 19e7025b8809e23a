"""A bank built with a coreset: smaller, calibrated on what it keeps, and it says so."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from library.bank_helpers import brute_force, make_draft, make_slices
from library.distributed_helpers import brain_sources
from MIASSAMLib.bank import BankWriter, verify_bank
from MIASSAMLib.bank.coreset import METHODS, Choice, cells_of, select_rows
from MIASSAMLib.cli import main
from MIASSAMLib.config import preset
from MIASSAMLib.errors import UsageError
from MIASSAMLib.method import BuildOptions, build_bank
from MIASSAMLib.sam import load_model
from MIASSAMLib.volume_io import write_volume


@pytest.fixture(scope="module")
def model():
    return load_model("embedded", device="cpu")


def test_a_coreset_bank_is_smaller_and_calibrated_on_what_it_keeps(tmp_path, model):
    config = preset("refined")
    whole = build_bank(tmp_path / "whole.bank", brain_sources(3), model, config)
    options = BuildOptions(coreset=Choice(0.1))
    small = build_bank(tmp_path / "small.bank", brain_sources(3), model, config, options)
    for kind in whole.kinds:
        assert small.n_patches(kind) == round(0.1 * whole.n_patches(kind))
    assert any("(greedy coreset)" in note for note in small.manifest.notes)
    assert small.calibration["kind_embedding"][0].mean() > 1.02 * whole.calibration["kind_embedding"][0].mean()


def test_a_stratified_coreset_keeps_the_same_part_of_every_place_even_after_a_kill(tmp_path):
    place = np.stack([np.linspace(-0.5, 0.49, 20) // (1 / 16) / 16 + 0.01, np.zeros(20), np.ones(20)], 1)
    slices = make_slices(30)
    for run in (slices[:10], slices):
        with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
            for number, rows in enumerate(run):
                writer.add("volume", rows, part=number, places=dict.fromkeys(rows, place))
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        assert writer.n_resumed == 30
        choice = Choice(0.1, "stratified")
        writer.select(lambda all_: select_rows(choice, all_.chunks, all_.places, seed=0))
        bank = writer.finish()
    counts = np.bincount(cells_of(bank.places("embedding")), minlength=2048)
    np.testing.assert_array_equal(counts, 3 * np.bincount(cells_of(place.astype(np.float16)), minlength=2048))


def test_patches_of_a_bank_know_their_source_and_place(tmp_path, model):
    config = preset("refined")
    bank = build_bank(tmp_path / "a.bank", brain_sources(2), model, config)
    for kind in bank.kinds:
        places, bounds = bank.places(kind), bank.sources_of_rows(kind)
        assert places.shape == (bank.n_patches(kind), 3) and places.dtype == np.float16
        assert bounds.tolist() == [0, bank.manifest.sources[0].n_patches[kind], bank.n_patches(kind)]
        assert np.abs(places[:, :2]).max() < 1 and places[:, 2].min() >= 0 and places[:, 2].max() <= 1
        rows = np.concatenate(list(bank.rows(kind, 1000)))
        np.testing.assert_array_equal(rows, bank.rows_at(kind, np.arange(bank.n_patches(kind))))
    assert verify_bank(tmp_path / "a.bank") == []


@pytest.mark.parametrize("method", METHODS)
def test_every_coreset_is_reached_from_the_command_line(tmp_path, method, monkeypatch, capsys):
    said = []
    quiet = nullcontext(lambda *news: said.append(news))
    monkeypatch.setattr("MIASSAMLib.cli.bank.terminal_progress", lambda enabled: quiet)
    write_volume(tmp_path / "normal.nii.gz", brain_sources(1)[0].load()[0])
    words = ["bank", "build", str(tmp_path / "normal.nii.gz"), "--preset", "paper", "--json"]
    words += ["--coreset", method, "--coreset-ratio", "0.25", "--output", str(tmp_path / "a.bank")]
    assert main(words) == 0
    info = json.loads(capsys.readouterr().out)
    assert any(f"({method} coreset)" in note for note in info["notes"])
    assert any("choosing patches in shards" in stage for stage, _, _ in said) == (method == "greedy")


def test_a_bad_ratio_is_refused_before_the_work(tmp_path, model):
    with pytest.raises(UsageError, match="coreset ratio is 2"):
        build_bank(tmp_path / "a.bank", brain_sources(1), model, preset("paper"), BuildOptions(coreset=Choice(2)))
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
        writer.select(lambda candidates: np.arange(0, candidates.n_rows, 7))
        kept = np.arange(0, 80, 7)
        left = rows[kept[(kept < 20) | (kept >= 40)]]
        np.testing.assert_allclose(
            writer.search_excluding("embedding", queries, excluded), brute_force(queries, left), rtol=1e-4
        )
