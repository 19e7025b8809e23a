"""Half and compressed banks: smaller, as good as the exact one, and honest about what they lose."""

from __future__ import annotations

import numpy as np
import pytest
from library.bank_helpers import brute_force, build_bank, make_draft, make_low_rank_rows, make_rows
from MIASSAMLib.bank import (
    BankWriter,
    KindRecord,
    MemoryBank,
    bank_info,
    half,
    storage,
    verify_bank,
)
from MIASSAMLib.bank.exact import write_flat
from MIASSAMLib.bank.half import TorchSearcher
from MIASSAMLib.bank.quality import exact_neighbors
from MIASSAMLib.bank.rows import rows_of_array
from MIASSAMLib.errors import BankError, BankMismatchError, UsageError

N_SOURCES, ROWS_PER_SOURCE = 4, 1500


def build(path, compress, first=0, n_sources=N_SOURCES, **options) -> MemoryBank:
    with BankWriter(path, make_draft(), compress=compress, **options) as writer:
        for seed in range(first, first + n_sources):
            rows = {
                "embedding": make_low_rank_rows(ROWS_PER_SOURCE, seed=seed),
                "intensity": make_rows(ROWS_PER_SOURCE, 6, seed),
            }
            writer.add(f"volume{seed}", rows)
        return writer.finish()


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return build(tmp_path_factory.mktemp("bank") / "exact.bank", "none")


@pytest.mark.parametrize(("compress", "largest_part"), [("half", 0.51), ("compressed", 0.45)])
def test_a_smaller_bank_scores_like_the_exact_one(tmp_path, exact, compress, largest_part):
    bank = build(tmp_path / "a.bank", compress)
    queries = make_low_rank_rows(400, seed=77)
    truth, found = exact.search_neighbors("embedding", queries)
    scores, neighbors = bank.search_neighbors("embedding", queries)
    assert (neighbors == found).mean() > 0.97
    assert np.corrcoef(scores, truth)[0, 1] > 0.9995
    np.testing.assert_allclose(np.median(scores / truth), 1, atol=2e-3)
    info = bank_info(tmp_path / "a.bank")["kinds"]["embedding"]
    assert (info["storage"], info["n_patches"]) == (compress, N_SOURCES * ROWS_PER_SOURCE)
    assert info["part_of_float32"] < largest_part
    assert info["recall_at_1"] > 0.97
    assert abs(info["score_inflation_mean"]) < 0.01
    np.testing.assert_allclose(
        bank.rows_at("embedding", np.array([5, 0, 5999])),
        exact.rows_at("embedding", np.array([5, 0, 5999])),
        atol=0.15,
    )


@pytest.mark.parametrize("compress", ["half", "compressed"])
def test_every_mutation_of_a_smaller_bank_is_refused_by_name(tmp_path, compress):
    folder = tmp_path / "a.bank"
    build(folder, compress, n_sources=2)
    generator = np.random.default_rng(1)
    names = sorted(path.name for path in folder.iterdir())
    for name in names * 5:
        original = (folder / name).read_bytes()
        changed = bytearray(original)
        changed[generator.integers(len(changed))] ^= 1 << int(generator.integers(8))
        (folder / name).write_bytes(changed)
        with pytest.raises(BankError, match=name):
            MemoryBank.load(folder)
        (folder / name).write_bytes(original)
    assert verify_bank(folder) == []


@pytest.mark.parametrize("compress", ["none", "half", "compressed"])
def test_an_interrupted_build_of_any_storage_resumes_to_the_same_bytes(tmp_path, compress):
    build(tmp_path / "whole.bank", compress)
    with BankWriter(tmp_path / "a.bank", make_draft(), compress=compress) as writer:
        rows = {"embedding": make_low_rank_rows(ROWS_PER_SOURCE), "intensity": make_rows(ROWS_PER_SOURCE, 6)}
        writer.add("volume0", rows)
    build(tmp_path / "a.bank", compress)
    for path in (tmp_path / "whole.bank").iterdir():
        assert path.read_bytes() == (tmp_path / "a.bank" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("compress", ["none", "half", "compressed"])
def test_append_keeps_the_old_rows_and_finds_the_new_ones(tmp_path, compress):
    build(tmp_path / "a.bank", compress, n_sources=3)
    bank = build(tmp_path / "a.bank", compress, first=3, n_sources=1, append=True)
    assert bank.manifest.version == 2
    assert [source.name for source in bank.manifest.sources] == [f"volume{n}" for n in range(4)]
    assert (bank.manifest.n_slices, bank.n_patches("embedding")) == (4, 4 * ROWS_PER_SOURCE)
    new = make_low_rank_rows(ROWS_PER_SOURCE, seed=3)[:200]
    _, neighbors = bank.search_neighbors("embedding", new)
    assert (neighbors == np.arange(200) + 3 * ROWS_PER_SOURCE).mean() > 0.98
    reloaded = MemoryBank.load(tmp_path / "a.bank")
    np.testing.assert_array_equal(reloaded.search("embedding", new), bank.search("embedding", new))
    assert {path.name for path in (tmp_path / "a.bank").iterdir()} == {"manifest.json", *bank.manifest.files}


def test_an_append_killed_before_the_end_leaves_the_old_bank(tmp_path, monkeypatch):
    build(tmp_path / "a.bank", "none", n_sources=2)
    before = {path.name: path.read_bytes() for path in (tmp_path / "a.bank").iterdir()}
    real = storage.write_flat

    def killed(path, *rest):
        if "intensity" in path.name:
            raise KeyboardInterrupt
        real(path, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(storage, "write_flat", killed)
        build(tmp_path / "a.bank", "none", first=2, n_sources=1, append=True)
    assert {path.name: path.read_bytes() for path in (tmp_path / "a.bank").iterdir()} == before
    bank = build(tmp_path / "a.bank", "none", first=2, n_sources=1, append=True)
    assert bank.n_patches("embedding") == 3 * ROWS_PER_SOURCE


def test_append_refuses_another_model_and_a_source_it_has(tmp_path):
    build(tmp_path / "a.bank", "none", n_sources=1)
    with pytest.raises(BankMismatchError, match="embedded"):
        BankWriter(tmp_path / "a.bank", make_draft(model_digest="other"), append=True)
    with pytest.raises(BankError, match="volume0 .* added twice"):
        build(tmp_path / "a.bank", "none", n_sources=1, append=True)


def test_auto_keeps_a_small_bank_exact_and_says_why(tmp_path):
    bank = build_bank(tmp_path / "a.bank")
    record = bank.manifest.kinds["embedding"]
    assert record.storage == "none"
    assert "100 x 16" in record.storage_reason


@pytest.mark.parametrize(
    ("free_gib", "card_gib", "n_rows", "dimension", "storage_name", "words"),
    [
        (20, 0, 30_000, 1024, "none", "small"),
        (0.25, 0, 30_000, 1024, "compressed", "0.2 GiB free"),
        (20, 0, 30_001, 1024, "compressed", "faster"),
        (20, 24, 1_000_000, 1024, "half", "graphics card"),
        (20, 24, 7_680_000, 1024, "half", "graphics card"),
        (20, 16, 7_680_000, 1024, "compressed", "29.3 GiB"),
        (20, 0, 400_000, 6, "none", "short rows"),
        (20, 0, 7_680_000, 6, "compressed", "many short rows"),
    ],
)
def test_auto_chooses_by_size_and_memory(monkeypatch, free_gib, card_gib, n_rows, dimension, storage_name, words):
    monkeypatch.setattr(storage, "_free_memory", lambda: int(free_gib * 2**30))
    monkeypatch.setattr(storage, "_card_memory", lambda: card_gib << 30)
    chosen, reason = storage.choose_storage("auto", n_rows, dimension)
    assert chosen == storage_name
    assert words in reason


def test_an_unknown_storage_is_refused_with_the_choices():
    with pytest.raises(UsageError, match="auto, none, half, compressed"):
        storage.choose_storage("zip", 10, 100)


def test_numbers_too_large_for_half_precision_are_refused(tmp_path):
    writer = BankWriter(tmp_path / "a.bank", make_draft(), compress="half")
    with writer, pytest.raises(BankError, match="more than half precision"):
        writer.add("volume", {"embedding": np.full((3, 128), 1e6, np.float32)})


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_torch_search_is_exact_whatever_type_multiplies_fastest(monkeypatch, resident, dtype):
    """A CPU multiplies float32 or bfloat16, graphics cards float16; all else is the same code."""
    import torch

    monkeypatch.setattr(half, "product_dtype", lambda device: getattr(torch, dtype))
    monkeypatch.setitem(half._CHUNK_ROWS, "cpu", 3000)
    rows, queries = make_low_rank_rows(8_500, 256), make_low_rank_rows(60, 256, seed=5)
    searcher = TorchSearcher(rows, resident=resident)
    assert dtype in searcher.name
    distances, neighbors = searcher.search(queries)
    np.testing.assert_allclose(distances, brute_force(queries, rows), rtol=1e-4)
    np.testing.assert_allclose(np.square(queries - rows[neighbors]).sum(axis=1), distances, rtol=1e-5)
    excluded = np.tile([[2500, 8500]], (60, 1))
    excluded[30:] = [0, 7000]
    without = searcher.search(queries, excluded)[0]
    np.testing.assert_allclose(without[:30], brute_force(queries[:30], rows[:2500]), rtol=1e-4)
    np.testing.assert_allclose(without[30:], brute_force(queries[30:], rows[7000:]), rtol=1e-4)


@pytest.mark.parametrize("n_rows", [1, 31, 128, 129])
def test_torch_search_takes_banks_smaller_than_a_block_or_a_short_list(n_rows):
    rows, queries = make_low_rank_rows(n_rows), make_low_rank_rows(7, seed=5)
    np.testing.assert_allclose(TorchSearcher(rows).search(queries)[0], brute_force(queries, rows), rtol=1e-4)
    everything = np.tile([[0, n_rows]], (7, 1))
    assert np.isinf(TorchSearcher(rows).search(queries, everything)[0]).all()


@pytest.mark.parametrize("n_rows", [0, 1, 700])
def test_an_exact_bank_is_the_file_that_faiss_would_write(tmp_path, n_rows):
    import faiss

    rows = make_rows(n_rows, 24)
    index = faiss.IndexFlatL2(24)
    index.add(rows)
    faiss.write_index(index, str(tmp_path / "by_faiss"))
    write_flat(tmp_path / "by_us", rows.shape, iter([rows[:300], rows[300:]]))
    assert (tmp_path / "by_us").read_bytes() == (tmp_path / "by_faiss").read_bytes()


@pytest.mark.parametrize(("card_gib", "is_resident"), [(24, True), (17, True), (15, False)])
def test_half_rows_stay_on_a_card_that_has_room_for_them(monkeypatch, card_gib, is_resident):
    monkeypatch.setattr(storage, "_card_memory", lambda: card_gib << 30)
    record = KindRecord("half", "", 7_680_000, 1024, {})
    assert storage._fits_memory(record, "cuda") == is_resident


@pytest.mark.parametrize("device", ["auto", "cuda", "cpu"])
def test_a_half_bank_opens_on_a_machine_without_a_graphics_card(tmp_path, monkeypatch, device):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    build(tmp_path / "a.bank", "half", n_sources=1)
    bank = MemoryBank.load(tmp_path / "a.bank", device=device)
    assert "torch on cpu" in bank.search_method("embedding")
    assert bank.search("embedding", make_low_rank_rows(ROWS_PER_SOURCE)[:3]).max() < 1e-3


def test_a_row_of_its_own_source_is_never_its_held_out_neighbor():
    rows = np.repeat(make_rows(30, 8), 10, axis=0)
    bounds = np.arange(0, 301, 10)
    held = storage.find_held_out(rows_of_array(rows, bounds), seed=0, n_queries=50)
    source = np.searchsorted(bounds, held.neighbors, side="right") - 1
    assert (held.excluded[:, 0] // 10 != source).all()
    assert (held.distances > 0).all()


def test_exact_neighbors_agree_with_brute_force_outside_the_excluded_range():
    rows, queries = make_rows(500, 8), make_rows(20, 8, seed=1)
    excluded = np.tile([100, 400], (20, 1))
    found = exact_neighbors(queries, rows_of_array(rows).chunks(size=64), excluded)
    left = np.concatenate([rows[:100], rows[400:]])
    np.testing.assert_allclose(((queries - rows[found]) ** 2).sum(1), brute_force(queries, left), rtol=1e-4)
