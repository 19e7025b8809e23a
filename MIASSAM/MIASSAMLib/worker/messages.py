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
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def fault_of(message: Any) -> str:
    """Return what is wrong with a request, in words; "" when its verb may look at its arguments."""
    number, verb = message.get("id"), message.get("verb")
    arguments = message.get("arguments", {})
    if type(number) is not int or not 0 <= number < 1 << 53 or not isinstance(verb, str):
        return "a request needs a whole number as id and a verb; send it again with both"
    if not isinstance(arguments, dict):
        return f"the arguments of {verb[:40]!r} are no object; send them by name"
    for name, kind in ARGUMENTS.get(verb, {}).items():
        if type(arguments.get(name)) is not kind:
            came = repr(arguments.get(name))[:40]
            return f"{verb} got {name} {came}; wanted is a {kind.__name__}; send the request again with it"
    return ""


ARGUMENTS: Mapping[str, Mapping[str, type]] = {
    "cancel": {"id": int},
    "open_volume": {"key": str, "array": str, "ijk_to_ras": list},
    "close_volume": {"key": str},
    "segment": {"volume": str},
    "redecode": {"volume": str, "slice": int},
    "build_bank": {"volumes": list, "output": str},
    "build_sample_bank": {"kind": str, "output": str},
    "teach_normal": {"volume": str, "bank": str, "normal": str},
    "unteach": {"bank": str},
    "import_bank": {"archive": str, "path": str},
    "bank_info": {"path": str},
    "make_sample": {"kind": str, "seed": int, "n_lesions": int},
    "fetch_model": {"name": str},
}
"""What every verb cannot do without."""
LONGEST_LINE = 1 << 24
"""Bytes; arrays do not cross as text, so the longest true request is far shorter."""


class LineBuffer:
    """Cuts a byte stream into messages, whatever the sizes of the pieces."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """Return the messages completed by these bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found = (decode(line) for line in lines if line.strip())
        return [message for message in found if message is not None]
