"""Average a run's weights with those it started from: `python -m training.average --run DIR --with FILE --out DIR`.

Two ends of one path lie in the same valley; their mean transfers better to images unlike those trained on than either.
`FILE` and the result are half precision, as `training.train` writes them.
"""

import argparse
import json
from pathlib import Path

import torch
from MIASSAMLib.files import sha256_of_file
from torch import Tensor


def main(arguments: list[str] | None = None) -> int:
    """Write `weights.pt` and `training.json` of the average."""
    parser = argparse.ArgumentParser(prog="training.average", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--with", dest="other", type=Path, required=True, help="weights to average with, equally")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    options = parser.parse_args(arguments)
    paths = (options.run / "weights.pt", options.other)
    states = [torch.load(path, map_location="cpu", weights_only=True) for path in paths]
    options.out.mkdir(parents=True, exist_ok=True)
    torch.save(average(*states), options.out / "weights.pt")
    training = json.loads((options.run / "training.json").read_text(encoding="utf-8"))
    training["average_of"] = [sha256_of_file(path) for path in paths]
    (options.out / "training.json").write_text(json.dumps(training, indent=2) + "\n", encoding="utf-8")
    return 0


def average(first: dict[str, Tensor], second: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of two state dicts in half precision; what is no floating-point number is the first's.

    Raises:
        ValueError: their names or shapes differ.
    """
    if {name: value.shape for name, value in first.items()} != {name: value.shape for name, value in second.items()}:
        raise ValueError("the two weights are of different models; give two of one model")
    return {
        name: ((value.float() + second[name].float()) / 2).half() if value.is_floating_point() else value
        for name, value in first.items()
    }


if __name__ == "__main__":
    raise SystemExit(main())
