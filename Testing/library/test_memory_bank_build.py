"""Building a bank: streaming, killed and resumed, locked, and never half there."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from library.bank_helpers import build_bank, make_draft, make_slices
from MIASSAMLib.bank import BankWriter, MemoryBank
from MIASSAMLib.errors import BankError, BankMismatchError


def folder_bytes(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_build_twice_gives_the_same_bytes(tmp_path):
    build_bank(tmp_path / "a.bank", calibration={"mean": np.arange(3.0)})
    build_bank(tmp_path / "b.bank", calibration={"mean": np.arange(3.0)})
    assert folder_bytes(tmp_path / "a.bank") == folder_bytes(tmp_path / "b.bank")


def test_nothing_but_the_bank_is_left_behind(tmp_path):
    build_bank(tmp_path / "a.bank")
    assert [path.name for path in tmp_path.iterdir()] == ["a.bank"]


@pytest.mark.parametrize("n_done", [0, 1, 3, 5])
def test_an_interrupted_build_resumes_to_the_identical_bank(tmp_path, n_done):
    build_bank(tmp_path / "whole.bank")
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, rows in enumerate(make_slices(5)[:n_done]):
            writer.add(f"volume{number // 2}", rows, part=number)
    assert not (tmp_path / "a.bank").exists()
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        assert writer.n_resumed == n_done
        assert [n in writer.stored_slices(f"volume{n // 2}") for n in range(5)] == [n < n_done for n in range(5)]
        for number, rows in enumerate(make_slices(5)):
            writer.add(f"volume{number // 2}", rows, part=number)
        writer.finish()
    assert folder_bytes(tmp_path / "a.bank") == folder_bytes(tmp_path / "whole.bank")


@pytest.mark.parametrize("torn", ["journal", "rows", "both"])
def test_a_write_torn_by_a_kill_is_cut_off_and_repeated(tmp_path, torn):
    build_bank(tmp_path / "whole.bank")
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, rows in enumerate(make_slices(5)[:3]):
            writer.add(f"volume{number // 2}", rows, part=number)
    building = tmp_path / "a.bank.building"
    if torn != "rows":
        journal = building / "journal.jsonl"
        journal.write_bytes(journal.read_bytes()[:-10])
    if torn != "journal":
        with (building / "intensity.rows").open("ab") as file:
            file.write(b"half a row")
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, rows in enumerate(make_slices(5)):
            writer.add(f"volume{number // 2}", rows, part=number)
        writer.finish()
    assert folder_bytes(tmp_path / "a.bank") == folder_bytes(tmp_path / "whole.bank")


def test_rows_lost_behind_the_journal_are_made_again(tmp_path):
    build_bank(tmp_path / "whole.bank")
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        for number, rows in enumerate(make_slices(5)[:3]):
            writer.add(f"volume{number // 2}", rows, part=number)
    path = tmp_path / "a.bank.building" / "embedding.rows"
    path.write_bytes(path.read_bytes()[:-5])
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        assert writer.n_resumed == 2
        for number, rows in enumerate(make_slices(5)):
            writer.add(f"volume{number // 2}", rows, part=number)
        writer.finish()
    assert folder_bytes(tmp_path / "a.bank") == folder_bytes(tmp_path / "whole.bank")


def test_rows_changed_behind_the_journal_are_refused(tmp_path):
    writer = BankWriter(tmp_path / "a.bank", make_draft())
    writer.add("volume", make_slices(1)[0])
    path = tmp_path / "a.bank.building" / "embedding.rows"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with pytest.raises(BankError, match=r"embedding\.rows is damaged; delete"):
        writer.finish()


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"draft": make_draft(seed=9)}, "another seed"),
        ({"draft": make_draft(model_digest="other")}, "another model digest"),
        ({"inputs": {"sources": [["volume", "another digest"]]}}, "another sources"),
        ({"compress": "half"}, "another storage"),
    ],
)
def test_bug_rows_of_an_interrupted_build_with_other_inputs_were_kept(tmp_path, changed, words):
    first = {"draft": make_draft(), "inputs": {"sources": [["volume", "digest"]]}}
    for _ in range(2):
        with BankWriter(tmp_path / "a.bank", **first) as writer:
            assert writer.restarted == ""
            writer.add("volume", make_slices(1)[0])
    (tmp_path / "a.bank.building" / "held_out").mkdir()
    said = []
    with BankWriter(
        tmp_path / "a.bank", **{**first, **changed}, progress=lambda *news: said.append(news[0])
    ) as writer:
        assert writer.n_resumed == 0 and words in writer.restarted
        assert said == [writer.restarted] and "beginning anew" in said[0]
        assert not (tmp_path / "a.bank.building" / "held_out").exists()


def test_two_builds_into_one_folder_and_the_second_is_refused(tmp_path):
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        with pytest.raises(BankError, match="another build is writing"):
            BankWriter(tmp_path / "a.bank", make_draft())
        writer.add("volume", make_slices(1)[0])
        writer.finish()


def test_a_second_process_is_refused_too_and_a_dead_one_blocks_nobody(tmp_path):
    script = textwrap.dedent("""
        import os, sys
        from library.bank_helpers import make_draft, make_slices
        from MIASSAMLib.bank import BankWriter
        writer = BankWriter(sys.argv[1], make_draft())
        writer.add("volume0", make_slices(1)[0], part=0)
        print("holding", flush=True)
        sys.stdin.readline()
        os._exit(9)
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.bank")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout.readline() == "holding\n"
    with pytest.raises(BankError, match="another build is writing"):
        BankWriter(tmp_path / "a.bank", make_draft())
    process.communicate("die\n")
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        assert writer.n_resumed == 1


def test_a_bank_that_exists_is_only_replaced_when_allowed(tmp_path):
    build_bank(tmp_path / "a.bank", n_slices=2)
    with pytest.raises(BankError, match="exists already"):
        build_bank(tmp_path / "a.bank", n_slices=3)
    build_bank(tmp_path / "a.bank", n_slices=3, overwrite=True)
    assert MemoryBank.load(tmp_path / "a.bank").manifest.n_slices == 3


def test_a_folder_that_is_no_bank_is_never_replaced(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").write_text("cat")
    with pytest.raises(BankError, match="exists already"):
        build_bank(tmp_path / "photos", overwrite=True)
    assert (tmp_path / "photos" / "cat.png").read_text() == "cat"


def test_a_full_disk_is_told_and_the_old_bank_is_untouched(tmp_path, monkeypatch):
    build_bank(tmp_path / "a.bank", n_slices=2)
    before = folder_bytes(tmp_path / "a.bank")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("storage.write_flat", "spool._append_bytes", "writer.write_synced"):
        with monkeypatch.context() as patch:
            patch.setattr(f"MIASSAMLib.bank.{place}", full)
            with pytest.raises(BankError, match="is full; no bank was changed"):
                build_bank(tmp_path / "a.bank", n_slices=3, overwrite=True)
        assert folder_bytes(tmp_path / "a.bank") == before
        shutil.rmtree(tmp_path / "a.bank.building", ignore_errors=True)


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BankError, match="cannot be written"):
        BankWriter(tmp_path / "file" / "a.bank", make_draft())


def test_an_empty_bank_is_refused(tmp_path):
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer, pytest.raises(BankError, match="not one normal"):
        writer.finish()


def test_a_source_given_twice_is_refused(tmp_path):
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        writer.add("volume", make_slices(1)[0])
        with pytest.raises(BankError, match="added twice"):
            writer.add("volume", make_slices(1)[0])


def test_rows_of_another_encoder_are_refused_midway(tmp_path):
    with BankWriter(tmp_path / "a.bank", make_draft()) as writer:
        writer.add("volume", make_slices(1)[0])
        with pytest.raises(BankMismatchError, match="one encoder"):
            writer.add("other", {"embedding": np.zeros((3, 8), np.float32), "intensity": np.zeros((3, 6), np.float32)})
