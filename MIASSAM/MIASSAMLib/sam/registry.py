"""The published SAM checkpoints: where they are, what they weigh, what their digests are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

CACHE_FOLDER_VARIABLE = "MIASSAM_CHECKPOINTS"
"""Environment variable that moves the checkpoint cache, as a cluster without a home folder needs."""


@dataclass(frozen=True)
class CheckpointEntry:
    """One published checkpoint.

    Attributes:
        name: model name, also its architecture ("vit_b").
        file_name: name of the published file.
        url: https address of the published file.
        sha256: hex digest of the file.
        about_mb: size to expect, in 10^6 bytes, for people.
    """

    name: str
    file_name: str
    url: str
    sha256: str
    about_mb: int


_BASE_URL = "https://dl.fbaipublicfiles.com/segment_anything/"


def _entry(name: str, file_name: str, about_mb: int, sha256: str) -> CheckpointEntry:
    return CheckpointEntry(name, file_name, _BASE_URL + file_name, sha256, about_mb)


REGISTRY: dict[str, CheckpointEntry] = {
    entry.name: entry
    for entry in (
        _entry(
            "vit_b", "sam_vit_b_01ec64.pth", 375, "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912"
        ),
        _entry(
            "vit_l", "sam_vit_l_0b3195.pth", 1250, "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622"
        ),
        _entry(
            "vit_h", "sam_vit_h_4b8939.pth", 2560, "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e"
        ),
    )
}

MODEL_NAMES: tuple[str, ...] = ("embedded", *REGISTRY)


def find_entry(name: str) -> CheckpointEntry:
    """Return the registry entry of a downloadable model."""
    if name not in REGISTRY:
        raise UsageError(f"no downloadable model is called {name!r}; choose one of {', '.join(REGISTRY)}")
    return REGISTRY[name]


def checkpoint_cache_folder() -> Path:
    """Return the folder of fetched checkpoints: the platform's user cache, or $MIASSAM_CHECKPOINTS."""
    moved = os.environ.get(CACHE_FOLDER_VARIABLE)
    if moved:
        return Path(moved)
    import platformdirs

    return platformdirs.user_cache_path("miassam", appauthor=False) / "checkpoints"


def cached_checkpoint_path(entry: CheckpointEntry) -> Path:
    """Return where a fetched checkpoint lies, whether or not it is there yet."""
    return checkpoint_cache_folder() / entry.file_name
