"""Put trained weights into the package and write their card: `python -m training.card --run DIR --measured FILE`.

`DIR` is the folder of a training run, `FILE` what `python -m training.measure --json FILE` wrote for its weights.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

from MIASSAMLib.files import sha256_of_file
from MIASSAMLib.sam.embedded import CARD_PATH, WEIGHTS_PATH, load_embedded

TEXT_PATH = WEIGHTS_PATH.with_name("MODEL_CARD.md")
TEMPLATE_PATH = Path(__file__).with_name("card_template.md")


def main(arguments: list[str] | None = None) -> int:
    """Copy the weights and write both cards."""
    parser = argparse.ArgumentParser(prog="training.card", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--measured", type=Path, required=True, help="numbers written by training.measure --json")
    options = parser.parse_args(arguments)
    training = json.loads((options.run / "training.json").read_text(encoding="utf-8"))
    measured = json.loads(options.measured.read_text(encoding="utf-8"))
    shutil.copyfile(options.run / "weights.pt", WEIGHTS_PATH)
    card = make_card(training, measured)
    CARD_PATH.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    TEXT_PATH.write_text(render(card, TEMPLATE_PATH.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


def make_card(training: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """Return the card of the weights in the package as data."""
    return {
        "name": "embedded",
        "file": WEIGHTS_PATH.name,
        "sha256": sha256_of_file(WEIGHTS_PATH),
        "bytes": WEIGHTS_PATH.stat().st_size,
        "parameters": sum(parameter.numel() for parameter in load_embedded().parameters()),
        "precision": "float16 on disk, float32 in memory",
        "input_px": 256,
        "license": "Apache-2.0",
        "data": "procedural images only (no patient data)",
        "training": training,
        "measured": measured,
    }


def render(card: dict[str, Any], template: str) -> str:
    """Fill the template's {marks} with the card's numbers."""
    measured, training = card["measured"], card["training"]
    return template.format(
        sha256=card["sha256"],
        parameters=f"{card['parameters'] / 1e6:.2f} M",
        megabytes=f"{card['bytes'] / 1e6:.1f} MB",
        steps=training["steps"],
        images=training["images"],
        prompts=training["prompts"],
        minutes=f"{training['seconds'] / 60:.0f}",
        clicks=clicks_table(measured.get("clicks", {})),
        validation=rows_table({"": measured.get("validation", {})}),
        speed=rows_table({"": measured.get("speed", {})}),
        features=rows_table(measured.get("features", {})),
    )


def clicks_table(clicks: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return a Markdown table of the clicks on each data set, its volumes below it."""
    return rows_table({f"{name}, {kind}": row for name, kinds in clicks.items() for kind, row in kinds.items()})


def rows_table(rows: dict[str, dict[str, float]]) -> str:
    """Return a Markdown table; a single unnamed row becomes one line per number."""
    if not any(rows.values()):
        return "Not measured."
    if list(rows) == [""]:
        lines = [f"| {name} | {_number(value)} |" for name, value in rows[""].items()]
        return "\n".join(["| what | value |", "|---|---|", *lines])
    columns = list(next(iter(rows.values())))
    lines = [
        f"| {name} | " + " | ".join(_number(row[column]) for column in columns) + " |" for name, row in rows.items()
    ]
    return "\n".join(["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|", *lines])


def _number(value: float) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
