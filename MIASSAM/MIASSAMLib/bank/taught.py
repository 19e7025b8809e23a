"""What users taught a bank: patches that they called normal, in files beside the bank's own.

The bank's files and its calibration stay as they were built. `taught.json` names the lessons; a lesson counts from
the moment it is named there until it is named no more, so a process that is killed loses nothing.
"""

from __future__ import annotations

import contextlib
import getpass
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from ..arrays import FloatArray
from ..errors import BankError
from ..files import ProcessLock, reason, replacing, sha256_of_file
from .exact import flat_searcher_of
from .manifest import (
    ROW_KEYS,
    FileName,
    FileRecord,
    Manifest,
    Sha256,
    Word,
    check_own_digest,
    file_record,
    find_damage,
    read_json,
    read_manifest,
    signed,
    text_digest,
    typed,
)
from .rows import READ_ERRORS, checked_rows
from .storage import RowSearcher

TAUGHT_NAME = "taught.json"


@dataclass(frozen=True)
class Lesson:
    """A region that somebody called normal.

    Attributes:
        source: the volume it lies in.
        words: what it was called there.
        n_slices: slices it lies on.
        by, when: who taught it, and the time (UTC, ISO 8601).
        n_patches, file: rows per kind, and the file that holds them; `teach` fills them in.
    """

    source: str
    words: str
    n_slices: int
    by: str = ""
    when: str = ""
    n_patches: Mapping[Word, int] = field(default_factory=dict)
    file: FileRecord = FileRecord(0, "")


@dataclass(frozen=True)
class _Taught:
    """`taught.json`; fits: digest of what the bank's rows depend on."""

    fits: Sha256
    lessons: Mapping[FileName, Lesson]


def read_taught(folder: Path, manifest: Manifest) -> dict[str, Lesson]:
    """Return file name -> lesson of a bank, oldest first.

    Raises:
        BankError: `taught.json` is damaged, or belongs to another bank.
    """
    path = folder / TAUGHT_NAME
    if not path.exists():
        return {}
    text, data = read_json(path)
    try:
        if not isinstance(data, dict):
            raise ValueError("it holds no record")
        check_own_digest(path, text, data)
        taught: _Taught = typed(_Taught, data, "it")
    except ValueError as error:
        raise BankError(f"{path} is damaged: {error}; restore it, or delete it to unlearn what was taught") from None
    if taught.fits != _fits(manifest):
        raise BankError(f"{path} was taught to a bank of another model or config; delete it, or restore its bank")
    return dict(taught.lessons)


def open_taught(folder: Path, manifest: Manifest) -> dict[str, RowSearcher]:
    """Return a searcher over the taught rows of each kind; none where nothing was taught."""
    rows: dict[str, list[FloatArray]] = {}
    lessons = read_taught(folder, manifest)
    for name, lesson in lessons.items():
        if damage := find_damage(folder, name, lesson.file):
            raise BankError(f"{damage}; restore it, or delete {TAUGHT_NAME} to unlearn what was taught")
        try:
            with np.load(folder / name, allow_pickle=False) as arrays:
                for kind in lesson.n_patches:
                    rows.setdefault(kind, []).append(checked_rows(kind, arrays[kind]))
        except READ_ERRORS as error:
            raise BankError(f"{folder / name} cannot be read; restore it, or delete {TAUGHT_NAME}") from error
    return {kind: flat_searcher_of(np.concatenate(parts)) for kind, parts in rows.items()}


def damaged_lessons(folder: Path, manifest: Manifest) -> list[str]:
    """Return what is wrong with each lesson's file, "" where nothing is."""
    return [find_damage(folder, name, lesson.file) for name, lesson in read_taught(folder, manifest).items()]


def taught_digest(folder: Path) -> str:
    """Return the digest of what a bank was taught; "" where nothing was."""
    path = folder / TAUGHT_NAME
    return sha256_of_file(path) if path.is_file() else ""


def teach(folder: Path, rows: Mapping[str, FloatArray], lesson: Lesson) -> Lesson:
    """Add rows (N, D) per kind to a bank as normal, and return the lesson as it was written down.

    Raises:
        BankError: there is no row, they do not fit the bank, or it cannot be written.
    """
    checked = {kind: checked_rows(kind, array) for kind, array in rows.items()}
    with _changing(folder) as (manifest, lessons):
        expected = {kind: record.dimension for kind, record in manifest.kinds.items()}
        if {kind: array.shape[1] for kind, array in checked.items()} != expected:
            raise BankError(f"{folder} takes rows of {expected} numbers; teach it with the model it was built with")
        if not all(map(len, checked.values())):
            raise BankError("the region holds no patch of the patient; mark a part of the image")
        name = f"taught-{1 + max((int(each[7:-4]) for each in lessons), default=0):04d}.npz"
        with replacing(folder / name, sync=True) as temporary, temporary.open("wb") as file:
            np.savez(file, **checked)  # type: ignore[arg-type]
        lessons[name] = replace(
            lesson,
            by=lesson.by or _user(),
            when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            n_patches={kind: len(array) for kind, array in checked.items()},
            file=file_record(folder / name),
        )
        _write(folder, manifest, lessons)
    return lessons[name]


def unteach(folder: Path) -> Lesson:
    """Take back what a bank was taught last, and return it.

    Raises:
        BankError: it was taught nothing, or cannot be written.
    """
    with _changing(folder) as (manifest, lessons):
        if not lessons:
            raise BankError(f"{folder} was taught nothing that could be taken back")
        name, lesson = lessons.popitem()
        _write(folder, manifest, lessons)
        with contextlib.suppress(OSError):
            (folder / name).unlink()
    return lesson


def forget_lessons(folder: Path) -> None:
    """Delete what was taught to a bank that was replaced."""
    for path in (folder / TAUGHT_NAME, *folder.glob("taught-*.npz")):
        with contextlib.suppress(OSError):
            path.unlink()


@contextlib.contextmanager
def _changing(folder: Path) -> Iterator[tuple[Manifest, dict[str, Lesson]]]:
    """Yield a bank's manifest and lessons, which nobody else changes meanwhile."""
    manifest, lock = read_manifest(folder), ProcessLock(folder.with_name(f"{folder.name}.lock"))
    try:
        if not lock.acquire():
            raise BankError(f"another process is changing {folder}; wait for it")
        yield manifest, read_taught(folder, manifest)
    except OSError as error:
        raise BankError(f"{folder} cannot be written ({reason(error)}); nothing was changed; check it") from error
    finally:
        lock.release()


def _user() -> str:
    """Return who is logged in, "" where the system does not tell, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return ""


def _write(folder: Path, manifest: Manifest, lessons: Mapping[str, Lesson]) -> None:
    if not lessons:
        (folder / TAUGHT_NAME).unlink(missing_ok=True)
        return
    with replacing(folder / TAUGHT_NAME, sync=True) as temporary:
        text = signed(asdict(_Taught(_fits(manifest), dict(lessons))))
        temporary.write_text(text, encoding="utf-8", newline="\n")


def _fits(manifest: Manifest) -> str:
    config = manifest.draft.config
    shapes = {kind: record.dimension for kind, record in manifest.kinds.items()}
    return text_digest(repr([manifest.draft.model_digest, [config.get(key) for key in ROW_KEYS], shapes]))
