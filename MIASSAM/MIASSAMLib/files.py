"""Files that are either whole or not there: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import UsageError

_PIECE_BYTES = 1 << 22


@contextmanager
def atomic_path(path: Path | str, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well.

    The temporary name is short and plain, so long or non-ASCII names reach no third-party writer.

    suffix: file type the writer goes by; the last suffix of `path` when empty.

    Raises:
        UsageError: the file cannot be written; the message says why.
    """
    path = Path(path)
    temporary = _temporary(path, suffix or path.suffix)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {reason(error)}; free the place or choose another output folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_text(path: Path | str, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path | str, data: bytes) -> None:
    """Write bytes atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_output_dir(path: Path | str, files: Iterable[str] = (), inputs: Iterable[Path] = ()) -> Path:
    """Create an output folder and prove that a file can be written in it, before any work is done.

    files: names that will be written there; inputs: files that must not be overwritten by them.

    Raises:
        UsageError: the folder cannot be made or written to, or an input lies where an output will.
    """
    folder = Path(path).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0")
    except OSError as error:
        raise UsageError(
            f"output folder {folder} cannot be written: {reason(error)}; choose a folder you may write to"
        ) from error
    taken = {str(Path(each).resolve()) for each in inputs}
    for name in files:
        if str((folder / name).resolve()) in taken:
            raise UsageError(f"{folder / name} is an input and would be overwritten; choose another output folder")
    return folder


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def reason(error: OSError) -> str:
    """Return the operating system's words for an error, without its number and path."""
    return error.strerror or str(error) or type(error).__name__


def _temporary(path: Path, suffix: str) -> Path:
    try:
        handle, name = tempfile.mkstemp(prefix=".miassam-", suffix=suffix, dir=path.parent)
    except OSError as error:
        raise UsageError(
            f"cannot write {path}: {reason(error)}; choose an output folder that exists and may be written to"
        ) from error
    os.close(handle)
    _default_permissions(name)
    return Path(name)


def _default_permissions(name: str) -> None:
    """Give the file the permissions an ordinary new file has; mkstemp makes it private."""
    mask = os.umask(0)
    os.umask(mask)
    with suppress(OSError):
        os.chmod(name, 0o666 & ~mask)
