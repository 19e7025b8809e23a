"""What a terminal shows of a long run."""

from __future__ import annotations

import io
import sys
import time

import pytest
from MIASSAMLib.cli.progress import rate_in_words, terminal_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_stage_count_rate_and_time_left(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("TERM", "xterm")
    with terminal_progress() as progress:
        for done in range(1, 6):
            time.sleep(0.03)
            progress("volume 1/2: encoding brain", done, 20)
    shown = terminal.getvalue()
    assert "volume 1/2: encoding brain" in shown
    assert "5/20" in shown and "/s" in shown


@pytest.mark.parametrize(("per_second", "words"), [(None, ""), (0.2345, "0.234/s"), (12.34, "12.3/s")])
def test_a_rate_is_said_once_it_is_known(per_second, words):
    assert rate_in_words(per_second) == words


def test_a_pipe_shows_nothing(capsys):
    with terminal_progress() as progress:
        progress("encoding", 1, 2)
    assert capsys.readouterr().err == ""
