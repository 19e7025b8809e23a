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
