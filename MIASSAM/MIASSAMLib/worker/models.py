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
    """Name every model there is, in words, with its size, and say whether it is on this machine."""
    from ..checkpoints import list_checkpoints

    return {
        "models": [
            {
                "name": each.entry.name, "words": each.entry.words, "size": each.entry.about,
                "is_here": each.is_present, "is_downloadable": each.entry.is_downloadable,
            }
            for each in list_checkpoints()
        ]
    }  # fmt: skip


def fetch_model(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Download a published checkpoint and verify it."""
    from ..checkpoints import fetch

    return {"path": str(fetch(str(arguments["name"]), call.progress))}


def remove_models(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Remove every downloaded checkpoint."""
    from ..checkpoints import list_checkpoints, remove

    here = [each for each in list_checkpoints() if each.n_bytes and each.entry.is_downloadable]
    freed = sum(each.n_bytes for each in here)
    removed = [each.entry.name for each in here if remove(each.entry.name)]
    return {"removed": removed, "freed_bytes": freed}
