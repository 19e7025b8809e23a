"""Read damaged inputs, each in a process of its own, and tell what must not be."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import select
import shutil
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from MIASSAMLib.errors import MiassamError
from MIASSAMLib.volume_io import find_inputs, read_volume

from .mutations import REFUSED, SAME, mutations_of
from .seeds import Seed

PATIENCE_S = 10.0
_FOREIGN = re.compile(r"itk|\.cxx|\.h:|Traceback|Errno|0x[0-9a-f]{6}|Code/|<class|Exception|struct\.|bytes-like", re.I)
"""What a message of another library looks like."""


@dataclass(frozen=True)
class Failure:
    """What went wrong, for which try (a seed's name, a mutation and the number that makes it again)."""

    kind: str
    what: str
    words: str


def is_own_sentence(text: str) -> bool:
    """Tell whether a message says what came, what was wanted and what to do, in our own words."""
    return ";" in text and len(text) < 5000 and not _FOREIGN.search(re.sub(r"\S*/\S*", "", text))


def try_inputs(seeds: list[Seed], n_tries: int, first: int, folder: Path) -> tuple[Counter[str], list[Failure]]:
    """Damage and read `n_tries` inputs; every seed and mutation gets its turn, `first` is the first try's number."""
    pairs = [(seed, mutate) for seed in seeds for mutate in mutations_of(seed)]
    counts: Counter[str] = Counter()
    failures = []
    for number in range(first, first + n_tries):
        seed, mutate = pairs[number % len(pairs)]
        place = folder / str(number)
        with contextlib.chdir(folder):
            path, allowed = mutate(seed, place, np.random.default_rng(number))
        outcome, words = in_child(lambda path=path, seed=seed, allowed=allowed: _read(path, seed, allowed))
        counts[outcome] += 1
        if outcome not in ("refused", "sound"):
            failures.append(Failure(outcome, f"{seed.name} {mutate.__name__} {number}", words))
        shutil.rmtree(place)
    return counts, failures


def in_child(task) -> tuple[str, str]:
    """Run a task in a forked process; return its (outcome, words), or "died", "hung" or "memory"."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        with contextlib.suppress(BaseException):
            outcome, words = task()
            os.write(write_end, f"{outcome}\n{words}".encode("utf-8", "backslashreplace")[:4000])
        os._exit(0)
    os.close(write_end)
    answer = b""
    end = time.monotonic() + PATIENCE_S
    has_ended = False
    while not has_ended and select.select([read_end], [], [], max(end - time.monotonic(), 0))[0]:
        answer += (piece := os.read(read_end, 4096))
        has_ended = not piece
    os.close(read_end)
    if not has_ended:
        os.kill(child, signal.SIGKILL)
    _, status, usage = os.wait4(child, 0)
    if not has_ended:
        return "hung", ""
    if not answer:
        return "died", f"status {status}"
    outcome, _, words = answer.decode().partition("\n")
    allowed_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + (1 << 20)
    return ("memory", f"{usage.ru_maxrss} KiB; {words}") if usage.ru_maxrss > allowed_kib else (outcome, words)


def _read(path: Path, seed: Seed, allowed: str) -> tuple[str, str]:
    try:
        (found,) = find_inputs([path])
        volume = read_volume(found)
    except MiassamError as error:
        return ("refused" if is_own_sentence(str(error)) else "foreign words"), str(error)
    except BaseException as error:
        import traceback

        return "traceback", f"{type(error).__name__}: {error} {traceback.format_exc()[-600:]}"
    if allowed == REFUSED:
        return "taken", f"shape {volume.shape_kji}"
    if allowed == SAME and not _is_same(volume, seed):
        return "wrong voxels", f"shape {volume.shape_kji}, {seed.voxels.shape}"
    return _soundness(volume, path, seed)


def _is_same(volume, seed: Seed) -> bool:
    return volume.voxels_kji.shape == seed.voxels.shape and np.array_equal(volume.voxels_kji, seed.voxels)


def _soundness(volume, path: Path, seed: Seed) -> tuple[str, str]:
    """Tell whether a volume can be: finite, somewhere, of a size the file can hold."""
    matrix, spacing = volume.ijk_to_ras, volume.spacing_mm
    if not np.isfinite(volume.voxels_kji).all() or not np.isfinite(matrix).all():
        return "not finite", str(matrix)
    if abs(np.linalg.det(matrix[:3, :3] / spacing)) < 1e-3 or not (spacing.min() > 1e-6 and spacing.max() < 1e6):
        return "no geometry", str(matrix)
    if np.abs(matrix).max() > 1e9:
        return "no geometry", str(matrix)
    if volume.voxels_kji.size > 2 * seed.voxels.size:
        return "more voxels than the file holds", str(volume.shape_kji)
    return "sound", ""
