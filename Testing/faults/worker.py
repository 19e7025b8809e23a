"""Send a worker what is no request, and see that it answers, lives on, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

from .inputs import Failure, is_own_sentence

VALUES = (None, True, -1, 1 << 80, 1.5, "", "x", "../../x", [], {}, [[]], "a" * 3000)
VERBS = (
    "hello",
    "segment",
    "open_volume",
    "close_volume",
    "redecode",
    "bank_info",
    "make_sample",
    "cancel",
    "nothing",
)
ENDINGS = ("close", "terminate", "interrupt")
PATIENCE_S = 10.0


class Talk:
    """A worker and its pipes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.number = folder, 0
        words = [sys.executable, "-m", "MIASSAMLib.worker", str(folder)]
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0
        )
        self._rest = b""

    def send(self, line: bytes) -> None:
        self.process.stdin.write(line + b"\n")

    def answers_to_hello(self) -> list[dict] | None:
        """Ask "hello" and return all that comes until its answer; None when it does not come."""
        self.number += 1000
        self.send(json.dumps({"id": self.number, "verb": "hello"}).encode())
        found, end = [], time.monotonic() + PATIENCE_S + 20  # the first engine verb loads PyTorch
        while select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))[0]:
            if not (piece := os.read(self.process.stdout.fileno(), 1 << 16)):
                return None
            *lines, self._rest = (self._rest + piece).split(b"\n")
            found += [json.loads(line) for line in lines]
            if any(each.get("id") == self.number and each["kind"] == "result" for each in found):
                return found
        return None

    def end(self, how: str) -> str:
        """End it; return what is wrong, "" when it went at once and removed its folder."""
        start = time.monotonic()
        if how == "close":
            self.process.stdin.close()
        else:
            self.process.send_signal({"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}[how])
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return "deaf"
        if time.monotonic() - start > 2:
            return "slow to end"
        return "folder left" if self.folder.exists() else ""


def make_message(random: np.random.Generator, number: int) -> bytes:
    """Return a line that is no sound request, or a sound one with a wrong argument."""
    kind = int(random.integers(6))
    value = VALUES[int(random.integers(len(VALUES)))]
    verb = VERBS[int(random.integers(len(VERBS)))]
    if kind == 0:
        return bytes(byte for byte in random.bytes(40) if byte != 10)
    if kind == 1:
        return json.dumps({"id": value, "verb": verb, "arguments": {}}).encode()
    if kind == 2:
        return json.dumps({"id": number, "verb": value, "arguments": value}).encode()
    if kind == 3:
        return json.dumps({"id": int(random.integers(number)), "verb": verb}).encode()
    if kind == 4:
        return b"[" * int(random.integers(1, 100_000))
    names = ("key", "array", "ijk_to_ras", "volume", "slice", "path", "kind", "seed", "n_lesions", "id", "options")
    arguments = {str(name): VALUES[int(random.integers(len(VALUES)))] for name in random.choice(names, 5)}
    return json.dumps({"id": number, "verb": verb, "arguments": arguments}).encode()


def try_messages(n_tries: int, first: int, folder: Path) -> tuple[Counter[str], list[Failure]]:
    """Send `n_tries` messages to workers, some tens to each, and end each in another way."""
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    talk = None
    for number in range(first, first + n_tries):
        talk = talk or Talk(folder / f"worker{number}")
        talk.send(message := make_message(np.random.default_rng(number), talk.number + 1))
        answers = talk.answers_to_hello()
        bad = [each["text"] for each in answers or () if each["kind"] == "error" and not is_own_sentence(each["text"])]
        outcome = "deaf" if answers is None else "foreign words" if bad else "answered"
        is_last = outcome == "deaf" or number % 60 == 59 or number == first + n_tries - 1
        if is_last:
            outcome = talk.end(ENDINGS[number // 60 % 3]) or outcome
            talk = None
        counts[outcome] += 1
        if outcome != "answered":
            failures.append(Failure(outcome, f"message {number}", f"{message[:200]!r} {bad}"))
    return counts, failures
