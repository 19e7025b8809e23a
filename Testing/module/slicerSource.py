"""The Slicer source tree that SLICER_PYTHON names, where it names one."""

import os
from pathlib import Path

_PYTHON = os.environ.get("SLICER_PYTHON")
SOURCE = Path(_PYTHON).resolve().parents[2] if _PYTHON else None
"""Root of the tree: SLICER_PYTHON is its Base/Python/slicer."""
