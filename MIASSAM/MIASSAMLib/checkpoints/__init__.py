"""Published checkpoints on this machine: list, fetch, verify, remove. Only `fetch` uses the network."""

from .download import download
from .store import CheckpointStatus, fetch, list_checkpoints, remove, verify

__all__ = ["CheckpointStatus", "download", "fetch", "list_checkpoints", "remove", "verify"]
