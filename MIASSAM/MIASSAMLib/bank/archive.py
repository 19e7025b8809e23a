"""A bank as one file: a ZIP archive of its manifest and the files that it names, stored as they are.

The manifest holds the SHA-256 of every file and its own, so nothing in the archive can change unnoticed. An archive
may come from anyone: only what the manifest names is taken, nothing is inflated, and no link or path is followed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import stat
import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path

from ..errors import BankError, UsageError
from ..files import atomic_path, reason
from ..protocols import Progress, no_progress
from .bank import verify_bank
from .manifest import MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, SourceRecord, read_manifest
from .writer import check_free

ARCHIVE_SUFFIX = ".bank.zip"
_EPOCH = (1980, 1, 1, 0, 0, 0)
_PIECE_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class Origin:
    """What whoever gets a bank must know of it, in words.

    Attributes:
        source: which volumes it was built from (data set, scanner, sequence, how many).
        license: under which terms it may be used.
        keeps_names: leave the names and digests of the source files in the manifest.
    """

    source: str
    license: str
    keeps_names: bool = False


def export_bank(folder: Path, archive: Path, origin: Origin, progress: Progress = no_progress) -> Path:
    """Write a bank as one archive; equal banks give equal bytes.

    Raises:
        BankError: the bank is damaged.
        UsageError: origin or license is empty, or the archive cannot be written.
    """
    if not origin.source.strip() or not origin.license.strip():
        raise UsageError("a shared bank needs the words of its source and its license; say both")
    if damages := verify_bank(folder):
        raise BankError(f"{folder} is damaged and was not exported: {damages[0]}")
    manifest = _with_origin(read_manifest(folder), origin)
    with atomic_path(archive, ".zip") as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
        file.writestr(_member(MANIFEST_NAME), manifest.render())
        for done, name in enumerate(sorted(manifest.files), 1):
            with (folder / name).open("rb") as source, file.open(_member(name), "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, _PIECE_BYTES)
            progress("exporting the bank", done, len(manifest.files))
    return archive


def import_bank(archive: Path, folder: Path, overwrite: bool = False, progress: Progress = no_progress) -> Manifest:
    """Unpack an archive as a bank folder, which appears whole or not at all.

    Raises:
        BankError: the archive is damaged, holds what no export writes, or something else is at the place.
        UsageError: the place cannot be written.
    """
    check_free(folder, overwrite)
    try:
        with ExitStack() as stack:
            file = stack.enter_context(zipfile.ZipFile(archive))
            members = _checked_members(file, archive)
            folder.parent.mkdir(parents=True, exist_ok=True)
            room = stack.enter_context(tempfile.TemporaryDirectory(prefix=".miassam-import-", dir=folder.parent))
            new = Path(room, "bank")
            new.mkdir()
            _extract(file, members.pop(MANIFEST_NAME), new)
            manifest = _fitting(read_manifest(new), members, archive)
            for done, name in enumerate(members, 1):
                _extract(file, members[name], new)
                progress("importing the bank", done, len(members))
            if damages := verify_bank(new):
                raise BankError(f"{archive} is damaged: {damages[0]}; get it again from where it came")
            _put(new, folder, Path(room, "old"))
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise BankError(f"{archive} is no sound bank archive ({error}); get it again from where it came") from error
    except OSError as error:
        raise UsageError(f"{archive} cannot be unpacked to {folder}: {reason(error)}") from error
    return manifest


def _with_origin(manifest: Manifest, origin: Origin) -> Manifest:
    """Return the manifest with its origin, and without the names and digests of the sources."""
    notes = (*manifest.notes, f"source: {origin.source.strip()}", f"license: {origin.license.strip()}")
    sources = manifest.sources
    if not origin.keeps_names:
        sources = tuple(
            SourceRecord(f"volume {number}", "", source.n_slices, source.n_patches)
            for number, source in enumerate(sources, 1)
        )
    return dataclasses.replace(manifest, sources=sources, notes=notes)


def _member(name: str) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.external_attr = (stat.S_IFREG | 0o644) << 16
    return member


def _checked_members(file: zipfile.ZipFile, archive: Path) -> dict[str, zipfile.ZipInfo]:
    """Return the members by name, plain stored files only, of which none lies outside the folder."""
    members = file.infolist()
    by_name = {member.filename: member for member in members}
    for member in members:
        kind, name = stat.S_IFMT(member.external_attr >> 16), member.filename
        if kind not in (0, stat.S_IFREG) or member.is_dir() or Path(name).name != name or "\\" in name:
            raise BankError(f"{archive} holds {name[:80]!r}, a link or a path; a bank archive holds plain files only")
        if member.compress_type != zipfile.ZIP_STORED or member.flag_bits & 1:
            raise BankError(f"{archive}: {name[:80]!r} is compressed or encrypted; export the bank with this program")
    if len(by_name) != len(members) or sum(m.file_size for m in members) > archive.stat().st_size:
        raise BankError(f"{archive} holds a file twice; get it again from where it came")
    if MANIFEST_NAME not in by_name or by_name[MANIFEST_NAME].file_size > MAX_MANIFEST_BYTES:
        raise BankError(f"{archive} holds no manifest of a bank; give a file made by `miassam bank export`")
    return by_name


def _fitting(manifest: Manifest, members: dict[str, zipfile.ZipInfo], archive: Path) -> Manifest:
    said = {name: record.n_bytes for name, record in manifest.files.items()}
    came = {name: member.file_size for name, member in members.items()}
    if said != came:
        odd = sorted(name for name in said.keys() | came.keys() if said.get(name) != came.get(name))
        raise BankError(
            f"{archive} and its manifest differ in {', '.join(odd)[:200]}; get it again from where it came"
        )
    return manifest


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    with file.open(member) as source, (folder / member.filename).open("xb") as target:
        shutil.copyfileobj(source, target, _PIECE_BYTES)
        target.flush()
        os.fsync(target.fileno())


def _put(new: Path, folder: Path, aside: Path) -> None:
    """Give the unpacked folder its name; the bank that had it goes."""
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(new, folder)
    except OSError:
        if aside.exists():
            os.replace(aside, folder)
        raise
