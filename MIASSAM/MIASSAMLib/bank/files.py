"""Files of a bank: digests, writing that is all or nothing, the lock, and words for a full disk."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from ..arrays import AnyArray
from ..errors import BankError
from .manifest import FileRecord

_CHUNK_BYTES = 1 << 22


def digest_file(path: Path) -> FileRecord:
    """Return the size and SHA-256 of a file, read in pieces."""
    digest, n_bytes = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            n_bytes += len(chunk)
    return FileRecord(n_bytes, digest.hexdigest())


def find_damage(folder: Path, name: str, record: FileRecord, with_digest: bool = True) -> str:
    """Return what is wrong with one file of a bank, in words; "" when nothing is.

    Without the digest only presence and size are checked.
    """
    path = folder / name
    if Path(name).name != name:
        return f"{path} lies outside the bank folder"
    if not path.is_file():
        return f"{path} is missing"
    if (n_bytes := path.stat().st_size) != record.n_bytes:
        return f"{path} is damaged: it has {n_bytes} bytes and the manifest says {record.n_bytes}"
    try:
        found = digest_file(path) if with_digest else record
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return "" if found == record else f"{path} is damaged: its SHA-256 is not the manifest's"


def sync_file(path: Path) -> None:
    """Make sure that a written file has reached the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text under a temporary name, then rename it: readers see the old or the new text."""
    temporary = path.with_name(f"{path.name}.part")
    with temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def write_npy(path: Path, shape: tuple[int, ...], dtype: type, chunks: Iterable[AnyArray]) -> None:
    """Write the chunks of an array as one npy file; a memory map would count as memory until it is closed."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk, dtype).data)


@contextlib.contextmanager
def disk_errors_in_words(path: Path, kept: str) -> Iterator[None]:
    """Turn a full disk or a folder that cannot be written into a BankError.

    Args:
        path: what was being written.
        kept: what the user still has, as a sentence part.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BankError(f"the disk of {path} is full; {kept}; free some space and run the build again") from error
        raise BankError(f"{path} cannot be written ({error.strerror or error}); {kept}; check the folder") from error


class FolderLock:
    """A lock beside a bank that one process at a time may hold; it ends with the process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BankError: another build holds it.
        """
        while True:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            if not _try_lock(descriptor):
                os.close(descriptor)
                raise BankError(
                    f"another build is writing this memory bank (lock {self._path}); wait for it or give another name"
                )
            if _is_same_file(descriptor, self._path):
                self._descriptor = descriptor
                return
            os.close(descriptor)

    def release(self) -> None:
        """Give the lock back; without effect when it is not held."""
        if self._descriptor < 0:
            return
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)
        self._descriptor = -1


def _try_lock(descriptor: int) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
