"""Speed and memory, side by side with the plain way, in one run.

The plain way is segment-anything as published: float32, one slice at a time, every slice encoded
twice as the paper's code does, Faiss's flat index.
"""

from __future__ import annotations

from .runner import BENCHMARK_NAMES, BenchOptions, run

__all__ = ["BENCHMARK_NAMES", "BenchOptions", "run"]
