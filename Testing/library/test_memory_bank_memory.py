"""A build holds little in memory: no memory maps of its rows, no copies of its training sample."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from library.bank_helpers import make_draft, make_low_rank_rows
from MIASSAMLib.bank import BankWriter
from MIASSAMLib.bank.rows import RowFile, write_npy
from MIASSAMLib.bank.spool import RowSpool, StoredPart
from MIASSAMLib.bank.storage import open_storage
from MIASSAMLib.errors import BankError

MB = 1 << 20


def make_spool(folder, n_entries: int, dtype: str = "float32") -> tuple[RowSpool, np.ndarray]:
    spool = RowSpool(folder, lambda dimension: dtype)
    rows = np.random.default_rng(0).standard_normal((n_entries * 512, 1024)).astype(dtype)
    for number, part in enumerate(np.split(rows, n_entries)):
        spool.append(StoredPart(f"s{number}", None), {"embedding": part}, {})
    return spool, rows


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_rows_are_read_by_number_in_any_order(tmp_path, dtype):
    spool, rows = make_spool(tmp_path, 2, dtype)
    generator = np.random.default_rng(1)
    wanted = [[], [3], [5, 5, 7], [1023, 0, 511], np.arange(100, 400), np.arange(0, 1024, 5), np.arange(0, 1024, 50)]
    for numbers in [*wanted, generator.integers(1024, size=300), np.sort(generator.integers(1024, size=300))]:
        numbers = np.asarray(numbers, np.int64)
        read = spool.read("embedding", numbers)
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, rows[numbers])


@pytest.mark.parametrize("has_pread", [True, False])
def test_rows_of_an_open_file_survive_its_deletion_and_need_no_pread(tmp_path, monkeypatch, has_pread):
    if not has_pread:
        monkeypatch.delattr("os.pread", raising=False)
    stored = np.random.default_rng(0).integers(0, 255, (20_000, 21), np.uint8)
    stored.tofile(tmp_path / "a.rows")
    rows = RowFile(tmp_path / "a.rows", stored.shape, np.uint8)
    if sys.platform != "win32":
        (tmp_path / "a.rows").unlink()
    for numbers in (np.arange(20_000), np.arange(19_999, 0, -7), np.array([4, 4, 19_999, 0])):
        np.testing.assert_array_equal(rows[numbers], stored[numbers])


@pytest.mark.parametrize("n_bytes", [0, 60, 128, 500])
@pytest.mark.parametrize(("storage", "role"), [("half", "rows"), ("compressed", "codes")])
def test_a_row_file_cut_short_is_not_opened(tmp_path, storage, role, n_bytes):
    with BankWriter(tmp_path / "a.bank", make_draft(), compress=storage) as writer:
        writer.add("volume", {"embedding": make_low_rank_rows(200)})
        record = writer.finish().manifest.kinds["embedding"]
    path = tmp_path / "a.bank" / record.files[role]
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(BankError, match="restore or rebuild"):
        open_storage(tmp_path / "a.bank", record)


def mapped_file_bytes() -> int:
    """Return how much of this process's memory are pages of files."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the pages of files apart")
def test_stored_rows_are_checked_and_read_without_mapping_their_file(tmp_path):
    spool, rows = make_spool(tmp_path, 32)
    before = mapped_file_bytes()
    spool.check()
    for start in range(0, len(rows), 4096):
        spool.read("embedding", np.arange(start, start + 4096))
    spool.read("embedding", np.arange(0, len(rows), 20))
    chunks = (rows[start : start + 4096] for start in range(0, len(rows), 4096))
    write_npy(tmp_path / "rows.npy", rows.shape, np.float16, chunks)
    assert mapped_file_bytes() - before < 8 * MB < rows.nbytes / 4
    np.testing.assert_array_equal(np.load(tmp_path / "rows.npy"), rows.astype(np.float16))
