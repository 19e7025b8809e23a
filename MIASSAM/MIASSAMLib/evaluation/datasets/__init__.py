"""Data sets to evaluate on: BMAD in every layout, and the user's own cases."""

from .bmad import BINARIZE, Binarize, find_bmad, group_of
from .case import DataSet, EvaluationCase, LabeledVolume, Role
from .cases_csv import read_cases

__all__ = [
    "BINARIZE",
    "Binarize",
    "DataSet",
    "EvaluationCase",
    "LabeledVolume",
    "Role",
    "find_bmad",
    "group_of",
    "read_cases",
]
