"""The words of the worker protocol: one JSON object per line, arrays as .npy files beside it.

Requests: {"id": 3, "verb": "segment", "arguments": {...}}; the verb "cancel" names the request to stop.
Answers to a request, by its id: any number of "progress" and "log", then one of "result", "error",
"cancelled". Before the first answer the worker says {"kind": "ready"}.

This module imports the standard library only, so that both sides of the pipe can share it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

PROTOCOL_VERSION = 1
FINAL_KINDS = ("result", "error", "cancelled")


def encode(message: Mapping[str, Any]) -> bytes:
    """Return a message as one line of JSON.

    Raises:
        ValueError: a number is not finite; JSON has no word for it.
    """
    return json.dumps(message, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any] | None:
    """Read one line; None when it is no message (a library wrote to the pipe)."""
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) else None


class LineBuffer:
    """Cuts a byte stream into messages, whatever the sizes of the pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages completed by these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = (decode(line) for line in lines if line.strip())
        return [message for message in found if message is not None]
