"""Import segment-anything's networks without its automatic mask generator, which loads torchvision.

That is more than a second of every start. Whoever asks the package for anything else later gets it:
its own `__init__` runs then.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_PACKAGE = "segment_anything"


def prepare_segment_anything() -> None:
    """Make `segment_anything.modeling` and `.build_sam` importable at little cost; harmless when done already."""
    if _PACKAGE in sys.modules:
        return
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.loader is None:
        return
    package = importlib.util.module_from_spec(spec)
    package.__getattr__ = lambda name: _run_and_get(package, spec, name)  # type: ignore[method-assign]
    sys.modules[_PACKAGE] = package


def _run_and_get(package: ModuleType, spec: ModuleSpec, name: str) -> Any:
    """Run the package's own `__init__`, once, and return one of its names."""
    if name.startswith("__") or spec.loader is None:
        raise AttributeError(f"module {_PACKAGE!r} has no attribute {name!r}")
    vars(package).pop("__getattr__", None)
    spec.loader.exec_module(package)
    return getattr(package, name)
