"""The newcomer's ten tasks run as they are written, in one shell, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import MIASSAMLib
import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "ten_tasks.md"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the page is for a POSIX shell")
def test_the_ten_tasks_run_as_they_are_written(tmp_path):
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == len(re.findall(r"^## \d+\. ", text, re.MULTILINE)) == 10
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "miassam").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m MIASSAMLib "$@"\n')
    (commands / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for command in commands.iterdir():
        command.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | {
        "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(Path(MIASSAMLib.__file__).parents[1]),
    }
    script = "set -eo pipefail\n" + "\n".join(blocks)
    done = subprocess.run(["bash", "-c", script], cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for words in (
        "Mean Dice of 2 phantoms", "normal.bank: ", "brain_lesions_101: ", "longest_diameter_mm",
        "anomaly 1 on slice 11",
        "outlined from the points of", "copy.bank is sound", "anomalies, standard deviations above normal up to",
        "embedded", "the exit code is 1",
    ):  # fmt: skip
        assert words in done.stdout, words
