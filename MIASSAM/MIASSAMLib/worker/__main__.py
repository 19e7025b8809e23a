"""Run the worker: ``python -m MIASSAMLib.worker EXCHANGE_FOLDER``."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path


def main(arguments: list[str] | None = None) -> int:
    """Serve until the other side is gone."""
    folder = Path((arguments if arguments is not None else sys.argv[1:])[0])
    if hasattr(signal, "sigwait"):  # a thread of its own hears them even while Faiss or PyTorch computes
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)  # before any import starts a thread, which would hear them
        threading.Thread(target=leave_at_signal, args=(folder,), name="signals", daemon=True).start()
    allow_second_openmp()
    from .channel import Channel
    from .messages import PROTOCOL_VERSION
    from .server import serve
    from .verbs import Verbs

    threading.Thread(target=leave_with_parent, args=(folder, os.getppid()), name="parent", daemon=True).start()
    serve(Verbs().table(), Channel.on_standard_streams(folder), {"protocol": PROTOCOL_VERSION})
    return 0


_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def leave_at_signal(folder: Path) -> None:
    """End when told to, leaving nothing behind."""
    number = signal.sigwait(_SIGNALS)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(128 + number)


def leave_with_parent(folder: Path, parent: int) -> None:
    """End when the process that started this one is gone, even if another still holds its end of the pipe."""
    while os.getppid() == parent:
        time.sleep(0.5)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def allow_second_openmp(platform: str = sys.platform) -> None:
    """Let the OpenMP of Faiss's wheel load beside PyTorch's on macOS, else it aborts (faiss-wheels#73)."""
    if platform == "darwin":
        os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")


if __name__ == "__main__":
    sys.exit(main())
