"""A build killed before any of its steps on disk: the bank is the old or the new one, never half."""

from __future__ import annotations

import numpy as np
import pytest
from library.bank_helpers import make_draft, make_slices
from MIASSAMLib.bank import BankWriter, MemoryBank, publish, spool, storage, verify_bank, writer
from MIASSAMLib.errors import BankError
from MIASSAMLib.files import ProcessLock

STEPS = (
    (spool, "_append_bytes"),
    (storage, "write_flat"),
    (publish, "file_record"),
    (publish, "sync_file"),
    (publish, "write_synced"),
    (writer, "write_synced"),
    (publish.os, "rename"),
    (publish.os, "replace"),
    (publish.shutil, "rmtree"),
    (publish, "_delete"),
)


class Killed(BaseException):
    """Stands for a kill: nothing but the steps already done remains."""


def build(path, first: int, last: int, **options) -> None:
    with BankWriter(path, make_draft(), **options) as target:
        for number, rows in list(enumerate(make_slices(last)))[first:]:
            target.add(f"volume{number}", rows)
        target.finish({"mean": np.arange(3.0)})


def folder_bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def kill_before(monkeypatch, wanted: int) -> list[str]:
    """Let the step of this number, of all steps on disk, kill the build instead; return the steps seen."""
    seen: list[str] = []

    def counted(name, real):
        def step(*args, **kwargs):
            seen.append(name)
            if len(seen) == wanted:
                raise Killed
            return real(*args, **kwargs)

        return step

    for room, name in STEPS:
        monkeypatch.setattr(room, name, counted(name, getattr(room, name)))
    return seen


def steps_of(monkeypatch, action) -> int:
    with monkeypatch.context() as patch:
        seen = kill_before(patch, -1)
        action()
    return len(seen)


def test_a_build_killed_before_any_step_ends_as_the_identical_bank(tmp_path, monkeypatch):
    n_steps = steps_of(monkeypatch, lambda: build(tmp_path / "whole.bank", 0, 3))
    assert n_steps > 20
    whole = folder_bytes(tmp_path / "whole.bank")
    for number in range(1, n_steps + 1):
        path = tmp_path / f"{number}.bank"
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_before(patch, number)
            build(path, 0, 3)
        if path.exists():
            assert folder_bytes(path) == whole
            with pytest.raises(BankError, match="exists already"):
                build(path, 0, 3)
        else:
            build(path, 0, 3)
        assert folder_bytes(path) == whole, f"killed before step {number}"
        assert not list(tmp_path.glob(f"{number}.bank.*")), f"leftovers of a kill before step {number}"


def test_an_append_killed_before_any_step_leaves_the_old_or_the_new_bank(tmp_path, monkeypatch):
    build(tmp_path / "old.bank", 0, 2)
    old = folder_bytes(tmp_path / "old.bank")
    build(tmp_path / "new.bank", 0, 2)
    n_steps = steps_of(monkeypatch, lambda: build(tmp_path / "new.bank", 2, 3, append=True))
    new = folder_bytes(tmp_path / "new.bank")
    for number in range(1, n_steps + 1):
        path = tmp_path / f"{number}.bank"
        build(path, 0, 2)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            kill_before(patch, number)
            build(path, 2, 3, append=True)
        assert verify_bank(path) == [], f"killed before step {number}"
        is_new = MemoryBank.load(path).manifest.version == 2
        for name, data in (new if is_new else old).items():
            assert (path / name).read_bytes() == data
        if not is_new:
            build(path, 2, 3, append=True)
            assert {name: (path / name).read_bytes() for name in new} == new


def test_the_lock_of_a_dead_build_blocks_nobody(tmp_path):
    lock, other = ProcessLock(tmp_path / "a.bank.lock"), ProcessLock(tmp_path / "a.bank.lock")
    assert lock.acquire() and not other.acquire()
    with pytest.raises(BankError, match="another build"):
        BankWriter(tmp_path / "a.bank", make_draft())
    lock.release()
    assert not (tmp_path / "a.bank.lock").exists()
    assert other.acquire()
    other.release()
