"""Folds: which cases teach the bank that scores which others."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from .datasets import DataSet, EvaluationCase


@dataclass(frozen=True)
class Fold:
    """One bank and what it scores.

    Attributes:
        name: "all", or the group left out.
        sources: cases whose lesion-free slices make the bank.
        scored: cases the bank scores, calibration cases among them.
    """

    name: str
    sources: tuple[EvaluationCase, ...]
    scored: tuple[EvaluationCase, ...]


def make_folds(data: DataSet, leave_one_group_out: bool) -> list[Fold]:
    """Return the folds of a data set.

    Raises:
        UsageError: there is nothing to score, or nothing normal to build a bank from.
    """
    tests = data.of_role("test")
    if not tests:
        raise UsageError(f"{data.name} has no case to test; set split to test for at least one case")
    if not leave_one_group_out:
        normals = data.of_role("normal")
        if not normals:
            raise UsageError(
                f"{data.name} has no normal case; set split to normal for the cases that make the memory bank, "
                "or leave one group out in turn (--leave-one-group-out)"
            )
        return [Fold("all", normals, (*data.of_role("calibration"), *tests))]
    groups = list(dict.fromkeys(case.group for case in tests))
    if len({case.group for case in data.cases}) < 2:
        raise UsageError(
            f"{data.name} has one group, so leaving it out leaves no bank; give cases of two groups or more"
        )
    return [_leave_out(data, group) for group in groups]


def _leave_out(data: DataSet, group: str) -> Fold:
    sources = tuple(case for case in data.cases if case.group != group)
    return Fold(group, sources, tuple(case for case in data.of_role("test") if case.group == group))
