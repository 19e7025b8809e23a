"""A bank as one file: what comes out is what went in, and an archive from a stranger harms nothing."""

from __future__ import annotations

import json
import stat
import zipfile

import numpy as np
import pytest
from library.bank_helpers import build_bank, make_rows
from MIASSAMLib.bank import MemoryBank, Origin, bank_info, export_bank, import_bank
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import BankError, UsageError

ORIGIN = Origin("IXI T2, 20 adults", "CC-BY-SA-3.0")


@pytest.fixture
def shared(tmp_path):
    """A bank of five slices and its archive."""
    bank = build_bank(tmp_path / "a.bank", calibration={"scores": np.arange(4.0)})
    return bank, export_bank(tmp_path / "a.bank", tmp_path / "a.bank.zip", ORIGIN)


def rewritten(archive, target, change):
    """Copy an archive; change(name, data, new archive) writes each member as it likes."""
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
        for member in old.infolist():
            change(member.filename, old.read(member), new)
    return target


def test_an_imported_bank_finds_what_the_original_finds(shared, tmp_path):
    bank, archive = shared
    import_bank(archive, tmp_path / "new" / "b.bank")
    copy, queries = MemoryBank.load(tmp_path / "new" / "b.bank"), make_rows(7, 16, 99)
    for mine, theirs in zip(bank.search("embedding", queries), copy.search("embedding", queries)):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(copy.calibration["scores"], np.arange(4.0))
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["b.bank"]


def test_an_archive_says_source_and_license_and_no_names_unless_asked(shared, tmp_path):
    _, archive = shared
    assert b"volume0" not in archive.read_bytes()
    manifest = import_bank(archive, tmp_path / "b.bank")
    assert {"source: IXI T2, 20 adults", "license: CC-BY-SA-3.0"} <= set(bank_info(tmp_path / "b.bank")["notes"])
    assert [(each.name, each.digest) for each in manifest.sources] == [(f"volume {n}", "") for n in (1, 2, 3)]
    named = export_bank(tmp_path / "a.bank", tmp_path / "n.bank.zip", Origin("x", "y", keeps_names=True))
    assert import_bank(named, tmp_path / "n.bank").sources == MemoryBank.load(tmp_path / "a.bank").manifest.sources
    for words in (Origin("", "CC0"), Origin("IXI", " ")):
        with pytest.raises(UsageError, match="source and its license"):
            export_bank(tmp_path / "a.bank", tmp_path / "c.bank.zip", words)


def test_equal_banks_give_equal_archives_without_foreign_files(shared, tmp_path):
    _, archive = shared
    (tmp_path / "a.bank" / "scan.png").write_bytes(b"a picture")
    again = export_bank(tmp_path / "a.bank", tmp_path / "again.bank.zip", ORIGIN)
    assert again.read_bytes() == archive.read_bytes()


def path_member(name, data, new):
    new.writestr("../escaped.txt" if name == "patches.faiss" else name, data)


def absolute_member(name, data, new):
    new.writestr("/tmp/miassam-escaped.txt" if name == "patches.faiss" else name, data)


def linked_member(name, data, new):
    member = zipfile.ZipInfo(name)
    if name == "patches.faiss":
        member.external_attr = (stat.S_IFLNK | 0o777) << 16
    new.writestr(member, data)


def packed_member(name, data, new):
    new.writestr(name, data, zipfile.ZIP_DEFLATED)


def extra_member(name, data, new):
    new.writestr(name, data)
    if name == "manifest.json":
        new.writestr("run.py", b"print('hello')")


def missing_member(name, data, new):
    if name != "patches.faiss":
        new.writestr(name, data)


def changed_member(name, data, new):
    new.writestr(name, data[:-1] + bytes([data[-1] ^ 1]) if name == "patches.faiss" else data)


def changed_manifest(name, data, new):
    new.writestr(name, data.replace(b"CC-BY-SA-3.0", b"CC-BY-NC-3.0"))


def nothing_useful(name, data, new):
    if name == "manifest.json":
        new.writestr(name, json.dumps({"format": "other"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (path_member, "a link or a path"),
        (absolute_member, "a link or a path"),
        (linked_member, "a link or a path"),
        (packed_member, "is compressed or encrypted"),
        (extra_member, "differ in run.py"),
        (missing_member, "differ in patches.faiss"),
        (changed_member, "SHA-256 is not the manifest's"),
        (changed_manifest, "was changed after the build"),
        (nothing_useful, "is not the manifest of a memory bank"),
    ],
)
def test_an_archive_that_no_export_wrote_is_refused_and_leaves_nothing(shared, tmp_path, change, words):
    _, archive = shared
    forged, room = rewritten(archive, tmp_path / "forged.bank.zip", change), tmp_path / "room"
    room.mkdir()
    with pytest.raises(BankError, match=words):
        import_bank(forged, room / "b.bank")
    assert not list(room.iterdir()) and not (tmp_path / "escaped.txt").exists()


def test_a_cut_archive_or_another_file_is_refused(shared, tmp_path):
    _, archive = shared
    data = archive.read_bytes()
    for content in (data[: len(data) // 2], b"no archive", b""):
        (tmp_path / "cut.bank.zip").write_bytes(content)
        with pytest.raises(BankError, match="no sound bank archive|no manifest of a bank"):
            import_bank(tmp_path / "cut.bank.zip", tmp_path / "b.bank")
    assert not (tmp_path / "b.bank").exists()


def test_a_damaged_bank_is_not_exported_and_a_folder_that_is_no_bank_not_replaced(shared, tmp_path):
    _, archive = shared
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(BankError, match="exists already"):
        import_bank(archive, tmp_path / "other", overwrite=True)
    (tmp_path / "a.bank" / "patches.faiss").write_bytes(b"damage")
    with pytest.raises(BankError, match="not exported"):
        export_bank(tmp_path / "a.bank", tmp_path / "c.bank.zip", ORIGIN)
    assert not (tmp_path / "c.bank.zip").exists()


def test_the_command_line_exports_imports_and_replaces(shared, tmp_path, capsys):
    words = ["--source", "phantoms", "--license", "CC0"]
    assert main(["bank", "export", str(tmp_path / "a.bank"), "--output", str(tmp_path / "c.zip"), *words]) == 2
    archive = str(tmp_path / "c.bank.zip")
    assert main(["bank", "export", str(tmp_path / "a.bank"), "--output", archive, *words]) == 0
    assert "no image files inside" in capsys.readouterr().out
    assert main(["bank", "import", archive, "--output", str(tmp_path / "a.bank")]) == 1
    assert main(["bank", "import", archive, "--output", str(tmp_path / "a.bank"), "--overwrite"]) == 0
    assert "license: CC0" in capsys.readouterr().out
    assert main(["bank", "verify", str(tmp_path / "a.bank")]) == 0
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
