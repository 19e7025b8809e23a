"""A folder that belongs to one process, is deleted with it, and is swept up when the process was killed."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

PREFIX = "miassam-embeddings-"
_LOCK_NAME = "in_use"
_SWEEP_AFTER_S = 60.0


class SpillFolder:
    """Arrays in files, in a folder made when first written to.

    The folder holds a locked file as long as its process lives, so that another process can tell an
    abandoned folder from one in use.

    Args:
        parent: where to make the folder; None = the system's temporary folder.
    """

    def __init__(self, parent: Path | None) -> None:
        self._parent = Path(parent) if parent is not None else Path(tempfile.gettempdir())
        self._folder: Path | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def write(self, name: str, array: npt.NDArray[Any]) -> None:
        """Write an array; OSError when the disk is full or the folder is gone."""
        path = self._made() / name
        try:
            with path.open("wb") as stream:
                np.save(stream, array, allow_pickle=False)
        except OSError:
            with suppress(OSError):
                path.unlink()
            raise

    def read(self, name: str) -> npt.NDArray[Any] | None:
        """Read an array, or None when it is lost."""
        with suppress(OSError, ValueError, EOFError):
            if self._folder is not None:
                array: npt.NDArray[Any] = np.load(self._folder / name, allow_pickle=False)
                return array
        return None

    def delete(self, name: str) -> None:
        """Delete an array's file."""
        if self._folder is not None:
            with suppress(OSError):
                (self._folder / name).unlink()

    def close(self) -> None:
        """Delete the folder and all in it."""
        if self._finalizer is not None:
            self._finalizer()
        self._folder = self._finalizer = None

    def _made(self) -> Path:
        if self._folder is None:
            self._parent.mkdir(parents=True, exist_ok=True)
            sweep(self._parent)
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=self._parent))
            lock = (folder / _LOCK_NAME).open("wb")
            _try_lock(lock)
            self._folder = folder
            self._finalizer = weakref.finalize(self, _delete_folder, folder, lock, os.getpid())
        return self._folder


def sweep(parent: Path) -> int:
    """Delete the folders of processes that died; return how many."""
    swept = 0
    for folder in parent.glob(PREFIX + "*"):
        with suppress(OSError):
            if time.time() - folder.stat().st_mtime > _SWEEP_AFTER_S and not _is_in_use(folder):
                shutil.rmtree(folder)
                swept += 1
    return swept


def _is_in_use(folder: Path) -> bool:
    with (folder / _LOCK_NAME).open("ab") as lock:
        return not _try_lock(lock)


def _try_lock(stream: IO[bytes]) -> bool:
    """Lock a file until it is closed; False when another process holds it."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _delete_folder(folder: Path, lock: IO[bytes], owner: int) -> None:
    """Delete a folder, unless this is a fork of the process that made it."""
    lock.close()
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)
