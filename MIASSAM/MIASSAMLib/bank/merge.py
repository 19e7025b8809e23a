"""Several banks made into one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import BankError, BankMismatchError, UsageError
from ..protocols import Progress, no_progress
from .bank import MemoryBank
from .manifest import text_digest
from .storage import Compress
from .writer import BankWriter

_SAME_FIELDS = ("slice_axis", "preprocessing")


def merge_banks(
    paths: Sequence[Path | str],
    output: Path | str,
    overwrite: bool = False,
    compress: Compress = "auto",
    progress: Progress = no_progress,
) -> MemoryBank:
    """Write one bank with the rows of several, in the order given.

    The calibration belongs to each bank alone and is left out. Rows of compressed banks come with
    their rounding.

    Raises:
        BankError: a bank is damaged, or two hold the same source.
        BankMismatchError: two banks were built with different models, configs or preprocessing.
    """
    if len(paths) < 2:
        raise UsageError(f"{len(paths)} bank was given to merge; give at least two")
    banks = [MemoryBank.load(path) for path in paths]
    for path, bank in zip(paths[1:], banks[1:], strict=True):
        _check_alike(Path(paths[0]), banks[0], Path(path), bank)
    names = _source_names(paths, banks)
    inputs = {"banks": [text_digest(bank.manifest.render()) for bank in banks]}
    with BankWriter(output, banks[0].manifest.draft, overwrite, compress=compress, inputs=inputs) as writer:
        for bank in banks:
            _add_all(writer, bank, names, progress)
        return writer.finish()


def _add_all(writer: BankWriter, bank: MemoryBank, names: list[str], progress: Progress) -> None:
    """Add the sources of a bank under the first of `names`, which are taken from the list."""
    bounds = {kind: bank.sources_of_rows(kind) for kind in bank.kinds}
    known = {kind: told for kind in bank.kinds if (told := bank.places(kind)) is not None}
    for number, source in enumerate(bank.manifest.sources):
        runs = {kind: slice(*bounds[kind][number : number + 2].tolist()) for kind in bank.kinds}
        rows = {kind: bank.rows_at(kind, np.arange(run.start, run.stop)) for kind, run in runs.items()}
        places = {kind: known[kind][runs[kind]] for kind in known}
        writer.add(names.pop(0), rows, n_slices=source.n_slices, digest=source.digest, places=places)
        progress("merging sources", number + 1, len(bank.manifest.sources))


def _source_names(paths: Sequence[Path | str], banks: Sequence[MemoryBank]) -> list[str]:
    """Return a name for every source of every bank; the same name of another file gets the bank's added."""
    digests: dict[str, str] = {}
    for path, bank in zip(paths, banks, strict=True):
        for source in bank.manifest.sources:
            name = source.name
            if name in digests and source.digest and source.digest != digests[name]:
                name = f"{name} ({Path(path).name})"
            if name in digests:
                raise BankError(f"{path} holds {name}, which another of the banks holds too; merge a source once")
            digests[name] = source.digest
    return list(digests)


def _check_alike(first_path: Path, first: MemoryBank, path: Path, bank: MemoryBank) -> None:
    ours, theirs = first.manifest.draft, bank.manifest.draft
    try:
        first.check_fits(theirs.config, theirs.model_name, theirs.model_digest)
    except BankMismatchError as error:
        raise BankMismatchError(f"{path} cannot be merged with {first_path}: {error}") from error
    shapes = [{kind: one.dimension(kind) for kind in one.kinds} for one in (first, bank)]
    if shapes[0] != shapes[1]:
        raise BankMismatchError(f"{path} holds {shapes[1]} and {first_path} holds {shapes[0]}; merge like with like")
    fields = [(name, getattr(ours, name), getattr(theirs, name)) for name in _SAME_FIELDS]
    for name, mine, other in fields:
        if mine != other:
            raise BankMismatchError(f"{path} has {name} {other} and {first_path} has {mine}; build both alike")
