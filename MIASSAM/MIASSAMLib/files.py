"""Files that are whole or not there, their digest, and a lock that one process at a time may hold."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

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
    try:
        with replacing(path, suffix) as temporary:
            yield temporary
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}; free the place or choose another folder") from error


@contextmanager
def replacing(path: Path | str, suffix: str = "", sync: bool = False) -> Iterator[Path]:
    """Do what `atomic_path` does and let the system's own errors pass.

    sync: see to it that the file has reached the disk before it gets its name.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(prefix=".miassam-", suffix=suffix or path.suffix, dir=path.parent)
    os.close(handle)
    _default_permissions(name)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            sync_file(temporary)
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink()


def sync_file(path: Path) -> None:
    """Make sure that a written file has reached the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


class ProcessLock:
    """A lock file that one holder at a time may have; it ends with the process, however that dies."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._lock: Any = None

    def acquire(self) -> bool:
        """Take the lock and return True, or False where another holds it.

        Raises:
            OSError: the file cannot be made.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self.path, timeout=0, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Give the lock back and delete its file; without effect when it is not held."""
        if self._lock is not None:
            with suppress(OSError):
                self.path.unlink()
            self._lock.release()
            self._lock = None


@contextmanager
def held_alone(folder: Path | str) -> Iterator[None]:
    """Hold an output folder for one run.

    Raises:
        UsageError: another run writes into it, or it cannot be written.
    """
    lock = ProcessLock(Path(folder) / ".miassam-run.lock")
    try:
        is_ours = lock.acquire()
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {reason(error)}; choose another output folder") from error
    if not is_ours:
        raise UsageError(f"another run writes into {folder}; wait for its end, or choose another output folder")
    try:
        yield
    finally:
        lock.release()


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


def reason(error: OSError) -> str:
    """Return the operating system's words for an error, without its number and path."""
    return error.strerror or str(error) or type(error).__name__


def _default_permissions(name: str) -> None:
    """Give the file the permissions an ordinary new file has; mkstemp makes it private."""
    mask = os.umask(0)
    os.umask(mask)
    with suppress(OSError):
        os.chmod(name, 0o666 & ~mask)
