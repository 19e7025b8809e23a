"""SAM models behind one protocol: encode a slice once, prompt it many times.

Importing this package is cheap; torch and segment_anything are imported by `load_model`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .registry import MODEL_NAMES

if TYPE_CHECKING:
    from ..protocols import SamModel
    from .device import RunOptions

__all__ = ["MODEL_NAMES", "load_model"]


def load_model(
    name: str,
    checkpoint: Path | None = None,
    device: str = "auto",
    options: RunOptions | None = None,
) -> SamModel:
    """Load a model by name, ready to encode and decode.

    Args:
        name: a name of the table in `registry`; "auto" reads the architecture from the checkpoint.
        checkpoint: SAM-format state dict of that architecture; None = the shipped weights
            (embedded) or the fetched file in the cache folder, whose digest must be the table's.
        device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        options: precision, acceleration and compilation; None = the best for the device.

    Raises:
        UsageError: unknown name or device.
        CheckpointError: the file is missing, damaged, or of another architecture.
    """
    from .loading import load_model_now

    model: SamModel = load_model_now(name, checkpoint, device, options)
    return model
