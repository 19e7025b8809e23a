"""A bank made by somebody else: whatever its manifest says, it is read in bounds or refused in words."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from library.bank_helpers import build_bank, make_draft, make_slices
from MIASSAMLib.bank import BankWriter, MemoryBank, bank_info, verify_bank
from MIASSAMLib.bank.manifest import text_digest
from MIASSAMLib.errors import BankError

DEEP = {"a": {}}
for _ in range(50):
    DEEP = {"a": DEEP}
VALUES = (None, True, -1, 1 << 80, 1e300, "", "../../victim", "/etc/passwd", "x\0y", "a" * 5000, [], [[]], {}, DEEP)


def forge(folder, change) -> None:
    """Change a manifest and sign it anew, as anybody can."""
    path = folder / "manifest.json"
    data = json.loads(path.read_text())
    data.pop("manifest_sha256")
    data = change(data) or data
    body = json.dumps(data, indent=1)
    path.write_text(json.dumps({**json.loads(body), "manifest_sha256": text_digest(body)}, indent=1) + "\n")


def places_in(data, path=()):
    """Yield the path of every value in a manifest."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places_in(value, (*path, key))


def set_at(data, path, value) -> None:
    for key in path[:-1]:
        data = data[key]
    data[path[-1]] = value


def test_every_field_of_a_signed_manifest_with_any_value_is_refused_in_words_or_harmless(tmp_path):
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=2, calibration={"mean": np.arange(3.0)})
    original = (folder / "manifest.json").read_bytes()
    places = [path for path in places_in(json.loads(original)) if path[0] != "manifest_sha256"]
    generator, n_refused = np.random.default_rng(0), 0
    for path in places:
        for number in generator.choice(len(VALUES), 3, replace=False):
            (folder / "manifest.json").write_bytes(original)
            forge(folder, lambda data, path=path, number=number: set_at(data, path, VALUES[number]))
            try:
                MemoryBank.load(folder).search("embedding", make_slices(1)[0]["embedding"])
                bank_info(folder)
                assert verify_bank(folder) == []
            except BankError as error:
                n_refused += 1
                assert len(str(error)) < 700
                assert verify_bank(folder)
    assert n_refused > len(places)


@pytest.mark.parametrize("name", ["../victim.txt", "sub/../../victim.txt", "/tmp/victim.txt", "..", ".hidden", ""])
def test_bug_overwriting_a_forged_bank_deleted_files_outside(tmp_path, name):
    (tmp_path / "victim.txt").write_text("precious")
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=2)
    forge(folder, lambda data: data["files"].update({name: {"n_bytes": 8, "sha256": "0" * 64}}))
    with pytest.raises(BankError, match="delete the folder first"):
        build_bank(folder, n_slices=2, overwrite=True)
    assert (tmp_path / "victim.txt").read_text() == "precious"
    assert "damaged" in verify_bank(folder)[0]


@pytest.mark.parametrize("name", ["patches.faiss", "manifest.json"])
def test_a_link_out_of_the_folder_and_a_pipe_are_refused_before_they_are_read(tmp_path, name):
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=2)
    (folder / name).rename(tmp_path / "elsewhere")
    (folder / name).symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        with pytest.raises(BankError, match=name):
            MemoryBank.load(folder, verify=False)
        assert name in verify_bank(folder)[0]
        (folder / name).unlink()
        os.mkfifo(folder / name)


def test_an_unreadable_bank_is_told_before_the_work_of_overwriting_it(tmp_path):
    build_bank(tmp_path / "a.bank", n_slices=2)
    (tmp_path / "a.bank" / "manifest.json").write_text("{}")
    with pytest.raises(BankError, match="delete the folder first"):
        BankWriter(tmp_path / "a.bank", make_draft(), overwrite=True)


@pytest.mark.parametrize("version", [1, 2])
def test_compressed_banks_of_earlier_format_versions_say_how_to_go_on(tmp_path, version):
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=4)
    forge(folder, lambda data: data.update(format_version=version))
    assert MemoryBank.load(folder).n_patches("embedding") == 80
    forge(folder, lambda data: data["kinds"]["embedding"].update(storage="compressed"))
    with pytest.raises(BankError, match=rf"format version {version}, .* build the bank again"):
        MemoryBank.load(folder)


def test_swapped_files_of_a_signed_bank_are_found_by_verify(tmp_path):
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=2)

    def swap(data):
        first, second = (data["kinds"][kind]["files"] for kind in ("embedding", "intensity"))
        first["index"], second["index"] = second["index"], first["index"]

    forge(folder, swap)
    assert "numbers and the manifest says" in verify_bank(folder)[0]


def test_bug_a_manifest_that_is_a_link_to_itself_was_a_traceback(tmp_path):
    folder = tmp_path / "a.bank"
    build_bank(folder, n_slices=2)
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").symlink_to("manifest.json")
    with pytest.raises(BankError, match="leads nowhere"):
        MemoryBank.load(folder)
    assert "leads nowhere" in verify_bank(folder)[0]


@pytest.mark.parametrize("array", [np.full(3, np.nan), np.array(["x"])])
def test_bug_a_calibration_without_numbers_was_used(tmp_path, array):
    with pytest.raises(BankError, match="no finite numbers in mean"):
        build_bank(tmp_path / "a.bank", n_slices=2, calibration={"mean": array})
    with pytest.raises(BankError, match="no finite numbers in mean"):
        MemoryBank.load(tmp_path / "a.bank")
