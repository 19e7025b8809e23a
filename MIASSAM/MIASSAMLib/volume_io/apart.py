"""Read in a process of its own, so that a crash, a hang or a flood of memory in a reader ends one row, not the run.

One child serves a run and is started again when it dies. Lines of JSON go both ways; arrays come back as .npy files
in a folder that is removed by whichever side ends last. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MiassamError
from ..volume import Volume
from .door import MAX_VOXELS, at_most
from .labels import read_label
from .reading import read_volume

_LEAST_S, _BYTES_PER_S = 60.0, 2e6
"""A reader may take a minute, and longer where files are large: slow disks give some megabytes a second."""
_ROOM_BYTES, _BYTES_PER_VOXEL = 4 << 30, 24
"""Address space of the child: libraries and their threads, and the largest volume in its reader's hands."""
_START = (
    "import sys; sys.path.insert(0, sys.argv[1]); from MIASSAMLib.volume_io.apart import serve; serve(*sys.argv[2:])"
)


class ReaderApart:
    """Reads volumes in a child process.

    Args:
        max_voxels: larger images are refused.
        time_s: seconds one image may take; 0 = by its size.
    """

    def __init__(self, max_voxels: int = MAX_VOXELS, time_s: float = 0.0) -> None:
        self._max_voxels, self._time_s = max_voxels, time_s
        self._child: subprocess.Popen[str] | None = None
        self._folder = Path()
        self._answers: queue.Queue[str] = queue.Queue()

    def read(self, path: Path, region: Path | None = None) -> Volume:
        """Read one image, with the region of it that is compared.

        Raises:
            InputError: what the reader says of it; or it crashed, took too long, or wanted too much memory.
        """
        limit_s = self._time_s or _LEAST_S + sum(_size(one) for one in (path, region) if one) / _BYTES_PER_S
        words = json.dumps({"path": str(path), "region": str(region) if region else "", "limit_s": limit_s})
        answer = self._asked(words, path.name, limit_s)
        if "error" in answer:
            raise (InputError if answer["is_input"] else MiassamError)(answer["error"])
        arrays = [np.load(self._folder / name, allow_pickle=False) for name in answer.pop("arrays")]
        volume = answer["volume"]
        return Volume(
            arrays[0],
            np.array(volume.pop("ijk_to_ras")),
            notes=tuple(volume.pop("notes")),
            region_kji=arrays[1] if len(arrays) > 1 else None,
            **volume,
        )

    def close(self) -> None:
        """End the child and remove its folder."""
        if self._child:
            self._child.kill()
            self._child.wait()
            for pipe in (self._child.stdin, self._child.stdout):
                if pipe:
                    pipe.close()
            shutil.rmtree(self._folder, ignore_errors=True)
        self._child = None

    def _asked(self, words: str, name: str, limit_s: float) -> Any:
        child = self._running()
        assert child.stdin
        try:
            child.stdin.write(words + "\n")
            child.stdin.flush()
            line = self._answers.get(timeout=limit_s)
        except queue.Empty:
            self.close()
            raise InputError(
                f"{name}: reading it took more than {limit_s:.0f} s and was stopped; expected a sound image; copy it "
                "again, or segment it alone with --no-isolate if it is that large"
            ) from None
        except OSError:
            line = ""
        if not line:
            status = child.wait()
            self.close()
            raise InputError(
                f"{name}: the reader ended ({_why(status)}); the file is damaged, or needs more memory than there is; "
                "copy it again from its source"
            )
        return json.loads(line)

    def _running(self) -> subprocess.Popen[str]:
        """Return the child, started when there is none."""
        if self._child is None:
            self._folder = Path(tempfile.mkdtemp(prefix="miassam-read-"))
            root = str(Path(__file__).resolve().parents[2])
            command = [sys.executable, "-c", _START, root, str(self._folder), str(self._max_voxels)]
            pipe = subprocess.PIPE
            self._child = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, encoding="ascii")
            self._answers = queue.Queue()
            threading.Thread(target=_listen, args=(self._child, self._answers), daemon=True).start()
        return self._child


def _listen(child: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Pass on each line, and "" at the end."""
    assert child.stdout
    try:
        for line in child.stdout:
            answers.put(line)
    except ValueError:
        pass  # closed by the other side
    answers.put("")


def _why(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"code {status}"


def _size(path: Path) -> int:
    """Return the bytes of a file or of a folder's files."""
    try:
        return sum(one.stat().st_size for one in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0  # the reader says what is wrong


def serve(folder: str, max_voxels: str) -> None:
    """Answer the requests on standard input until it ends: the child's side."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that asks
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # what libraries print is no answer
    _bound_memory(_ROOM_BYTES + _BYTES_PER_VOXEL * int(max_voxels))
    try:
        with at_most(int(max_voxels)):
            for line in sys.stdin:
                answers.write(json.dumps(_answer(Path(folder), **json.loads(line))) + "\n")
                answers.flush()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _answer(folder: Path, path: str, region: str, limit_s: float) -> dict[str, Any]:
    """Read one image; its arrays lie in the folder."""
    _bound_processor(limit_s)
    try:
        volume = read_volume(path)
        arrays = {"voxels.npy": volume.voxels_kji}
        if region:
            arrays["region.npy"] = read_label(region, volume) != 0
    except MiassamError as error:
        return {"error": str(error), "is_input": isinstance(error, InputError)}
    except MemoryError:
        return {"error": f"{Path(path).name}: reading it needs more memory than there is", "is_input": True}
    for name, array in arrays.items():
        np.save(folder / name, array, allow_pickle=False)
    words = {key: getattr(volume, key) for key in ("name", "modality", "source", "notes", "has_spacing")}
    return {"volume": {**words, "ijk_to_ras": volume.ijk_to_ras.tolist()}, "arrays": list(arrays)}


def _bound_memory(n_bytes: int) -> None:
    """Bound the address space, where the system can."""
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        n_bytes = min(n_bytes, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 3 // 4)
        resource.setrlimit(resource.RLIMIT_AS, (n_bytes if hard < 0 else min(hard, n_bytes), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    except (ImportError, ValueError, OSError):
        pass  # Windows has none: time is bounded all the same


def _bound_processor(limit_s: float) -> None:
    """Let the system end this process when its reader spins although nobody waits any more."""
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + limit_s) + 2, hard))
    except (ImportError, ValueError, OSError):
        pass
