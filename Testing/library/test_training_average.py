"""The mean of two runs' weights is written beside what it was made of."""

import json
from pathlib import Path

import pytest
import torch

from training.average import average, main


def test_floats_are_averaged_in_half_precision_and_counts_are_kept() -> None:
    first = {"weight": torch.tensor([1.0, 3.0]).half(), "count": torch.tensor(7)}
    second = {"weight": torch.tensor([2.0, -3.0]).half(), "count": torch.tensor(9)}
    mean = average(first, second)
    assert mean["weight"].tolist() == [1.5, 0.0] and mean["weight"].dtype == torch.float16
    assert int(mean["count"]) == 7


def test_weights_of_two_models_are_refused() -> None:
    with pytest.raises(ValueError, match="give two of one model"):
        average({"weight": torch.zeros(2)}, {"weight": torch.zeros(3)})


def test_the_command_says_which_weights_were_averaged(tmp_path: Path) -> None:
    for name, value in (("run", 1.0), ("other", 3.0)):
        (tmp_path / name).mkdir()
        torch.save({"weight": torch.tensor([value]).half()}, tmp_path / name / "weights.pt")
    (tmp_path / "run" / "training.json").write_text('{"steps": 5}')
    other, out = tmp_path / "other" / "weights.pt", tmp_path / "out"
    assert main(["--run", str(tmp_path / "run"), "--with", str(other), "--out", str(out)]) == 0
    assert torch.load(out / "weights.pt", weights_only=True)["weight"].item() == 2
    told = json.loads((out / "training.json").read_text())
    assert told["steps"] == 5 and len(set(told["average_of"])) == 2
