"""Streaming metrics: fixed memory, each with a stated binning error where it has one."""

from .histogram import COLUMNS, PooledHistogram, ScoreHistogram
from .intervals import REPLICATES, group_weights, percentile_interval
from .overlap import SliceCounts, dice
from .ranking import FPR_LIMIT, Estimate, aupro, auroc, average_precision, best_dice_bin, binary_auroc
from .regions import FOUND_SHARE, MIN_LESION_PX, LesionCounter, label_regions, n_found
from .score_bins import BITS, lowest_score, score_bins

__all__ = [
    "BITS",
    "COLUMNS",
    "FOUND_SHARE",
    "FPR_LIMIT",
    "MIN_LESION_PX",
    "REPLICATES",
    "Estimate",
    "LesionCounter",
    "PooledHistogram",
    "ScoreHistogram",
    "SliceCounts",
    "aupro",
    "auroc",
    "average_precision",
    "best_dice_bin",
    "binary_auroc",
    "dice",
    "group_weights",
    "label_regions",
    "lowest_score",
    "n_found",
    "percentile_interval",
    "score_bins",
]
