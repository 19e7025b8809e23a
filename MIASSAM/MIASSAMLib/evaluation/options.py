"""What an evaluation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..config import PRESETS, Config, MaskChoice, PromptKind, preset
from ..errors import UsageError
from ..method import Preprocessing
from .bmad import Binarize, find_bmad
from .cases import DataSet, read_cases

PROMPTS: tuple[PromptKind, ...] = ("cog", "max", "box")
MASKS: tuple[MaskChoice, ...] = ("1", "2", "3", "auto")


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of one run.

    Attributes:
        output: folder of the results.
        bmad, cases: folder of BMAD, or a cases.csv; exactly one of them.
        leave_one_group_out: test each group on a bank of the others' lesion-free slices.
        presets, prompts, masks: rows wanted, all combinations; no preset leaves brightness alone.
        model, checkpoint, device: as for `load_model`.
        binarize: which mask pixels of BMAD are anomalous.
        preprocessing: how slices are cut and scaled; BMAD fixes its own window.
        bank_step: only every n-th normal slice of a volume goes into a bank.
        cache_gb: disk space for embeddings while the evaluation runs.
        tables: where else to write the tables, such as docs/results.md.
        command: the command line, to be printed above the tables.
    """

    output: Path
    bmad: Path | None = None
    cases: Path | None = None
    leave_one_group_out: bool = False
    presets: tuple[str, ...] = tuple(PRESETS)
    prompts: tuple[PromptKind, ...] = PROMPTS
    masks: tuple[MaskChoice, ...] = MASKS
    model: str = "embedded"
    checkpoint: Path | None = None
    device: str = "auto"
    binarize: Binarize = ">0"
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    bank_step: int = 1
    cache_gb: float = 20.0
    tables: Path | None = None
    command: str = ""

    def __post_init__(self) -> None:
        if (self.bmad is None) == (self.cases is None):
            raise UsageError("give either --bmad ROOT or --cases cases.csv, one of them")
        if self.bank_step < 1:
            raise UsageError(f"the bank step is {self.bank_step}; give 1 for every normal slice, 2 for every second")
        if self.leave_one_group_out and self.bmad:
            raise UsageError("BMAD has its own split; leave one group out only with --cases")

    @property
    def configs(self) -> dict[str, Config]:
        """The presets to be measured, by their names in the tables."""
        return {name: preset(name) for name in self.presets}

    def data_sets(self) -> list[DataSet]:
        """Find the cases.

        Raises:
            UsageError: there are none, or their list is off.
        """
        if self.bmad is not None:
            return find_bmad(self.bmad, self.binarize)
        assert self.cases is not None
        return [read_cases(self.cases, self.leave_one_group_out)]
