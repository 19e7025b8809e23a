"""Sources for tests on a cluster: small phantom brains, one of which may take its worker down."""

from __future__ import annotations

import dataclasses
import functools
import os
import signal
from pathlib import Path

from MIASSAMLib.method import BuildSource
from MIASSAMLib.phantoms import Grid, make_phantom
from MIASSAMLib.volume import Volume

GRID = Grid.centered((5, 48, 48), (4.0, 4.0, 20.0))


def load_brain(seed: int, marker: Path | None) -> tuple[Volume, None]:
    """Draw a brain; with a marker that is not there yet, leave it and kill this process instead."""
    if marker is not None and not marker.exists():
        marker.write_text("one worker died here")
        os.kill(os.getpid(), signal.SIGKILL)
    volume = make_phantom("brain", seed=seed, n_lesions=0, grid=GRID).volume
    return dataclasses.replace(volume, name=f"brain{seed}"), None


def brain_sources(n: int, deadly: int = -1, marker: Path | None = None) -> list[BuildSource]:
    return [
        BuildSource(f"brain{seed}", functools.partial(load_brain, seed, marker if seed == deadly else None))
        for seed in range(n)
    ]
