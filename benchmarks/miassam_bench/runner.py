"""Run the named benchmarks and write bench.json, benchmarks.md and its plot."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MIASSAMLib.errors import UsageError
from MIASSAMLib.files import check_output_dir
from MIASSAMLib.protocols import Progress, no_progress
from MIASSAMLib.sam.registry import MODELS

from .rows import Row, write_rows

BENCHMARK_NAMES: tuple[str, ...] = ("encoder", "decoder", "bank", "end-to-end")
_QUICK_MODELS = ("embedded", "vit_b")
_FULL_BANK, _QUICK_BANK = 100_000, 10_000


@dataclass(frozen=True)
class BenchOptions:
    """What to measure with.

    Attributes:
        quick: small sizes and few runs, for a look; ratios are rough.
        device: "auto", "cpu", "cuda" or "mps".
        cpu_time: measure processor time on one thread instead of wall time, for a busy machine.
        models: models to measure; None = embedded and vit_b when quick or end to end, else all.
    """

    quick: bool = False
    device: str = "auto"
    cpu_time: bool = False
    models: tuple[str, ...] | None = None

    @property
    def clock(self) -> str:
        """Name of the clock."""
        return "cpu" if self.cpu_time else "wall"

    def effort(self, full: Any = None) -> Any:
        """Return how long to measure: `full` (the usual effort when None), or a look when quick."""
        from .timing import QUICK, Effort

        return replace(QUICK if self.quick else full or Effort(), clock=self.clock)


def run(
    names: Sequence[str], output: Path, options: BenchOptions | None = None, progress: Progress = no_progress
) -> list[Row]:
    """Run benchmarks and write `bench.json`, `benchmarks.md` and `benchmarks.png` into a folder.

    Args:
        names: some of `BENCHMARK_NAMES`; none = all.
        output: folder, made when missing.
        options: what to measure with.
        progress: told the benchmark and how many are done.

    Raises:
        UsageError: unknown name, or the folder cannot be written.
    """
    unknown = set(names) - set(BENCHMARK_NAMES)
    if unknown:
        raise UsageError(f"benchmark {sorted(unknown)[0]!r} is unknown; choose from {', '.join(BENCHMARK_NAMES)}")
    folder, options = check_output_dir(output), options or BenchOptions()
    return _measure(names or BENCHMARK_NAMES, folder, options, progress)


def _measure(names: Sequence[str], folder: Path, options: BenchOptions, progress: Progress) -> list[Row]:
    from MIASSAMLib.sam.device import choose_device

    from .machine import describe_machine, use_one_thread
    from .report import write_report

    device = str(choose_device(options.device))
    if options.cpu_time:
        use_one_thread()
    machine = describe_machine(device, options.clock)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="miassam-bench-") as scratch:
        tasks = list(_tasks(names, options, device, machine, Path(scratch)))
        for done, (words, task) in enumerate(tasks):
            progress(words, done, len(tasks))
            rows.extend(task())
            write_rows(rows, machine, folder)
        progress("done", len(tasks), len(tasks))
    write_report(rows, machine, folder)
    return rows


def _tasks(
    names: Sequence[str], options: BenchOptions, device: str, machine: dict[str, Any], scratch: Path
) -> Iterator[tuple[str, Callable[[], list[Row]]]]:
    """Yield what to measure, in words and as a function."""
    for name in names:
        if name == "bank":
            yield "bank", lambda: _bank(options, device)
            continue
        for model in _models(name, options):
            yield f"{name}, {model}", _task(name, model, options, device, machine, scratch)
    if "end-to-end" in names:
        yield "start and memory", lambda: _processes(options, device)


def _models(name: str, options: BenchOptions) -> tuple[str, ...]:
    if options.models is not None:
        return options.models
    if options.quick or name != "encoder":
        return _QUICK_MODELS
    return tuple(entry.name for entry in MODELS.values() if entry.sha256)


def _task(
    name: str, model: str, options: BenchOptions, device: str, machine: dict[str, Any], scratch: Path
) -> Callable[[], list[Row]]:
    def task() -> list[Row]:
        from .decoder import decoder_rows
        from .encoder import encoder_rows
        from .end_to_end import end_to_end_rows, fidelity_rows, growth_rows
        from .subjects import load_subject

        effort = options.effort()
        subject = load_subject(model, device, scratch)
        if name == "encoder":
            return list(encoder_rows(subject, effort, machine["matmul_tflops"]))
        if name == "decoder":
            return list(decoder_rows(subject, effort))
        rows = list(end_to_end_rows(subject, effort, _QUICK_BANK if options.quick else _FULL_BANK))
        rows += fidelity_rows(subject)
        return rows + (list(growth_rows(subject, effort, options.quick)) if model == "embedded" else [])

    return task


def _bank(options: BenchOptions, device: str) -> list[Row]:
    from .bank_search import bank_rows
    from .timing import Effort

    sizes = (10_000, 50_000) if options.quick else (10_000, 100_000, 500_000)
    return list(bank_rows(options.effort(Effort(budget_s=30.0)), sizes, device))


def _processes(options: BenchOptions, device: str) -> list[Row]:
    from .processes import memory_rows, start_rows
    from .timing import Effort

    counts = (10, 40) if options.quick else (100, 1000)
    return [*start_rows(options.effort(Effort(runs=5)), device), *memory_rows(counts, device)]
