"""What a terminal shows of a long run."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest
from MIASSAMLib.cli.progress import log_file, rate_in_words, say, terminal_progress, time_left
from MIASSAMLib.errors import UsageError


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


def test_a_pipe_gets_lines_with_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 4.0, 12.0, 13.0, 15.0, 16.0])
    monkeypatch.setattr("MIASSAMLib.cli.progress.time.monotonic", lambda: next(clock))
    with terminal_progress() as progress:
        for done in range(1, 6):
            progress("encoding", done, 5)
        progress("searching", 1, 5)
    assert capsys.readouterr().err.splitlines() == [
        "miassam: encoding: 1 of 5",
        "miassam: encoding: 3 of 5, about 12 s left",
        "miassam: encoding: 5 of 5",
        "miassam: searching: 1 of 5",
    ]


def test_progress_that_is_not_wanted_is_quiet(capsys):
    with terminal_progress(False) as progress:
        progress("encoding", 1, 2)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("work", "words"),
    [((10, 0, 5), ""), ((10, 5, 0), ""), ((10, 5, 5), ", about 10 s left"), ((60, 1, 9), ", about 9 min left")],
)
def test_time_left_is_said_in_a_fitting_unit(work, words):
    assert time_left(*work) == words


def test_the_log_file_is_extended_with_times(tmp_path, capsys):
    path = tmp_path / "run.log"
    for text in ("one", "two"):
        with log_file(path):
            say(text)
    say("not logged")
    lines = path.read_text().splitlines()
    assert [line[24:] for line in lines] == ["one", "two"] and re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", lines[0])
    with pytest.raises(UsageError, match="--log .* cannot be written"), log_file(tmp_path / "none" / "run.log"):
        pass
