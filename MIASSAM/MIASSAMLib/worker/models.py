"""Models as the other side names them: {"name", "checkpoint", "device"}."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..protocols import SamModel

if TYPE_CHECKING:
    from .server import Call


def load(wanted: Mapping[str, Any]) -> SamModel:
    """Load a model."""
    from ..sam import load_model

    checkpoint = wanted.get("checkpoint")
    return load_model(
        str(wanted.get("name") or "embedded"),
        Path(str(checkpoint)) if checkpoint else None,
        str(wanted.get("device") or "auto"),
    )


def list_models(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Say which published checkpoints are on this machine."""
    from ..checkpoints import list_checkpoints
    from ..sam.registry import checkpoint_cache_folder

    folder = checkpoint_cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    models = [{"name": each.entry.name, "is_here": each.is_present} for each in list_checkpoints()]
    return {"models": models, "folder": str(folder)}


def fetch_model(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Download a published checkpoint and verify it."""
    from ..checkpoints import fetch

    return {"path": str(fetch(str(arguments["name"]), call.progress))}


def remove_models(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Remove every downloaded checkpoint."""
    from ..checkpoints import list_checkpoints, remove

    here = [each for each in list_checkpoints() if each.n_bytes]
    freed = sum(each.n_bytes for each in here)
    removed = [each.entry.name for each in here if remove(each.entry.name)]
    return {"removed": removed, "freed_bytes": freed}
