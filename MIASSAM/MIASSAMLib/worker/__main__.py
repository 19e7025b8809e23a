"""Run the worker: ``python -m MIASSAMLib.worker EXCHANGE_FOLDER``."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Serve until the other side is gone."""
    folder = Path((arguments if arguments is not None else sys.argv[1:])[0])
    allow_second_openmp()
    from .channel import Channel
    from .messages import PROTOCOL_VERSION
    from .server import serve
    from .verbs import Verbs

    serve(Verbs().table(), Channel.on_standard_streams(folder), {"protocol": PROTOCOL_VERSION})
    return 0


def allow_second_openmp(platform: str = sys.platform) -> None:
    """Let the OpenMP of Faiss's wheel load beside PyTorch's on macOS, else it aborts (faiss-wheels#73)."""
    if platform == "darwin":
        os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")


if __name__ == "__main__":
    sys.exit(main())
