"""The cache folder of checkpoints: what is there, whether it is whole, and how to get rid of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError
from ..files import sha256_of_file
from ..protocols import Progress, no_progress
from ..sam.registry import MODELS, ModelEntry, checkpoint_path, find_downloadable, find_model
from .download import PART_SUFFIX, download


@dataclass(frozen=True)
class CheckpointStatus:
    """One published checkpoint and its place on this machine.

    Attributes:
        entry: name, address and digest.
        path: where it lies or would lie.
        is_present: a whole file is there (its digest is not read again).
        n_bytes: size of the file, or of the part fetched so far.
    """

    entry: ModelEntry
    path: Path
    is_present: bool
    n_bytes: int


def list_checkpoints() -> list[CheckpointStatus]:
    """Return the status of every model of the table, without reading the files."""
    return [_status(entry) for entry in MODELS.values()]


def fetch(name: str, progress: Progress = no_progress) -> Path:
    """Fetch a published checkpoint into the cache folder, unless it is there and whole.

    A broken fetch goes on where it stopped. The file gets its name only once its SHA-256 is right.

    Raises:
        UsageError: no such name.
        CheckpointError: the network failed or the file is not the published one.
    """
    entry = find_downloadable(name)
    path = checkpoint_path(entry)
    if path.is_file() and sha256_of_file(path) == entry.sha256:
        return path
    download(entry.url, path, entry.sha256, progress)
    return path


def verify(name: str) -> Path:
    """Read the file of a model in full and return its path when its SHA-256 is the published one.

    Raises:
        UsageError: no such name.
        CheckpointError: it is missing or altered.
    """
    entry = find_model(name)
    if not entry.sha256:
        entry = find_downloadable(name)
    path = checkpoint_path(entry)
    if not path.is_file():
        raise CheckpointError(f"{name} is not on this machine (looked for {path}); run `miassam models fetch {name}`")
    found = sha256_of_file(path)
    if found != entry.sha256:
        raise CheckpointError(
            f"{path} has SHA-256 {found}, but {name} should have {entry.sha256}; "
            f"run `miassam models remove {name}` and `miassam models fetch {name}`"
        )
    return path


def remove(name: str) -> bool:
    """Delete a fetched checkpoint and what is left of a broken fetch; return whether anything was there."""
    path = checkpoint_path(find_downloadable(name))
    files = [file for file in (path, path.with_name(path.name + PART_SUFFIX)) if file.is_file()]
    for file in files:
        file.unlink()
    return bool(files)


def _status(entry: ModelEntry) -> CheckpointStatus:
    path = checkpoint_path(entry)
    part = path.with_name(path.name + PART_SUFFIX)
    present = path.is_file()
    existing = path if present else part
    return CheckpointStatus(entry, path, present, existing.stat().st_size if existing.is_file() else 0)
