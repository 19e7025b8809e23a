"""Coresets: the few patches of a bank that stand for all, chosen without an N x N matrix."""

from .cheap import n_kept, random_coreset, stratified_coreset
from .greedy import greedy_coreset, project
from .two_level import METHODS, Choice, Method, select_rows, two_level_coreset

__all__ = [
    "METHODS",
    "Choice",
    "Method",
    "greedy_coreset",
    "n_kept",
    "project",
    "random_coreset",
    "select_rows",
    "stratified_coreset",
    "two_level_coreset",
]
