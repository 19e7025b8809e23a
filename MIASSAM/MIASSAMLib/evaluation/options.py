"""What an evaluation is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..config import DEFAULT, PRESETS, Config, MaskChoice, PromptKind, preset
from ..errors import UsageError
from ..method import Preprocessing
from .bmad import Binarize, find_bmad
from .cases import DataSet, read_cases
from .rows import ALL_CONTRASTS, NO_BANK

PROMPTS: tuple[PromptKind, ...] = ("cog", "max", "box")
MASKS: tuple[MaskChoice, ...] = ("1", "2", "3", "auto")


@dataclass(frozen=True)
class Way:
    """How a row's cases are segmented.

    Attributes:
        name: in the tables.
        config: the preset's.
        has_bank: whether a bank of normals is compared with, or the case with itself.
        is_joined: whether the further contrasts count.
    """

    name: str
    config: Config
    has_bank: bool = True
    is_joined: bool = False


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
        no_bank: whether each case is compared with itself, too (preset refined).
        contrasts: lists of the same cases in further contrasts, which are joined in rows of their own.
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
    no_bank: bool = False
    contrasts: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if (self.bmad is None) == (self.cases is None):
            raise UsageError("give either --bmad ROOT or --cases cases.csv, one of them")
        if self.bank_step < 1:
            raise UsageError(f"the bank step is {self.bank_step}; give 1 for every normal slice, 2 for every second")
        if self.leave_one_group_out and self.bmad:
            raise UsageError("BMAD has its own split; leave one group out only with --cases")
        if self.contrasts and self.cases is None:
            raise UsageError("further contrasts are lists of the same cases; give --with only with --cases")

    @property
    def ways(self) -> list[Way]:
        """What is measured: presets, no bank, and either of them with all contrasts."""
        ways = [Way(name, preset(name)) for name in self.presets]
        ways += [Way(NO_BANK, DEFAULT, has_bank=False)] if self.no_bank else []
        joined = [way for way in ways if self.contrasts and way.config.is_calibrated]
        return ways + [replace(way, name=way.name + ALL_CONTRASTS, is_joined=True) for way in joined]

    @property
    def names(self) -> list[str]:
        """Names of the ways."""
        return [way.name for way in self.ways]

    def contrast_sets(self, data: DataSet) -> list[DataSet]:
        """Return the cases of a data set in its further contrasts.

        Raises:
            UsageError: a list is off, or holds other cases or groups.
        """
        sets = [read_cases(path, self.leave_one_group_out) for path in self.contrasts]
        said = [(case.name, case.group, case.role) for case in data.cases]
        for path, other in zip(self.contrasts, sets, strict=True):
            if unlike := sorted({one[0] for one in {(c.name, c.group, c.role) for c in other.cases} ^ set(said)}):
                raise UsageError(f"{path} does not list the same cases, groups and splits: {', '.join(unlike)} differ")
        return sets

    def data_sets(self) -> list[DataSet]:
        """Find the cases.

        Raises:
            UsageError: there are none, or their list is off.
        """
        if self.bmad is not None:
            return find_bmad(self.bmad, self.binarize)
        assert self.cases is not None
        return [read_cases(self.cases, self.leave_one_group_out)]
