"""The workflows are valid, and every script, target and file that their steps name is there."""

import os
import re
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

REPOSITORY = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
PATHS = re.compile(
    r"(?<![\w./-])((?:\.ci|Testing|MIASSAM|benchmarks|docs)(?:/[\w.-]+)*|[\w-]+\.(?:txt|toml|yml))(?![\w/])"
)
MADE = {"constraints.txt"}
"""Files that a step makes itself."""


def steps():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            for number, step in enumerate(job["steps"]):
                yield pytest.param(job, step, id=f"{path.stem}-{name}-{number}")


def test_there_are_workflows_for_three_systems():
    text = "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    assert {"ubuntu-latest", "windows-latest", "macos-latest"} <= set(re.findall(r"[a-z]+-latest", text))


@pytest.mark.parametrize(("job", "step"), list(steps()))
def test_a_step_names_only_what_is_there(job, step):
    assert ("run" in step) != ("uses" in step), "a step runs a command or uses an action"
    assert isinstance(job["runs-on"], str)
    if "uses" in step:
        assert re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"])
        return
    for word in set(PATHS.findall(step["run"])) - MADE:
        path = REPOSITORY / word
        assert path.exists(), f"{word} is not there"
        assert path.is_dir() or path.parent.name != ".ci" or os.access(path, os.X_OK), f"{word} cannot be run"
    targets = re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"\bmake ([\w-]+)", step["run"])) <= set(targets)


def test_a_matrix_value_that_a_step_reads_is_given():
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            given = job.get("strategy", {}).get("matrix", {})
            for key in re.findall(r"matrix\.(\w+)", str(job)):
                assert key in given, f"{name} reads matrix.{key}"
