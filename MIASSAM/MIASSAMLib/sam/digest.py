"""SHA-256 of a file, read in pieces."""

from __future__ import annotations

import hashlib
from pathlib import Path

_PIECE_BYTES = 1 << 22


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file as lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
