"""How a model runs: its precision and its shortcuts. What it computes does not change."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError

PRECISIONS: tuple[str, ...] = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class RunOptions:
    """How to run a model.

    Attributes:
        precision: numbers inside the encoder; "auto" = by device, checked against float32.
        accelerate: fused attention and the functional decoder instead of segment-anything's own.
        compile: run the encoder through torch.compile (slow first slice; needs a C++ compiler).
    """

    precision: str = "auto"
    accelerate: bool = True
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is unknown; choose one of {', '.join(PRECISIONS)}")
