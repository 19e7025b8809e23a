"""How inputs that nobody vouches for are read: bounded in size, and where there are several in another process."""

from __future__ import annotations

import argparse
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..volume import Volume
    from ..volume_io import ReaderApart


@dataclass(frozen=True)
class ReadOptions:
    """How to read: in a process of its own, and images of how many voxels at most."""

    isolate: bool = False
    max_voxels: int = 1 << 30

    def read(self, path: Path, region: Path | None) -> Volume:
        """Read an image, bounded to its region where there is one."""
        from ..api import bounded
        from ..volume_io import at_most, read_volume

        if self.isolate:
            return _reader_apart(self.max_voxels).read(path, region)
        with at_most(self.max_voxels):
            return bounded(read_volume(path), region)


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Add --isolate and --max-voxels."""
    add = parser.add_argument
    words = "read each input in a process of its own, bounded in time and memory (default: where there are several)"
    add("--isolate", action=argparse.BooleanOptionalAction, default=None, help=words)
    add("--max-voxels", type=_count, default=ReadOptions.max_voxels, metavar="N", help="refuse larger images")


def read_options(arguments: argparse.Namespace, n_inputs: int) -> ReadOptions:
    """Return what the user chose, or what suits the number of inputs."""
    isolate = n_inputs > 1 if arguments.isolate is None else arguments.isolate
    return ReadOptions(isolate, arguments.max_voxels)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} came; expected 1 or more")
    return value


@functools.cache
def _reader_apart(max_voxels: int) -> ReaderApart:
    """Return the reader of this process's run; it ends with the process."""
    from ..volume_io import ReaderApart

    return ReaderApart(max_voxels)
