"""What the machine is, and how many products it does in a second."""

from __future__ import annotations

import os
import platform
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import torch

from .timing import Effort, race

_SIDE = {"cpu": 2048, "cuda": 8192, "mps": 4096}
_EFFORT = Effort(runs=7, budget_s=8.0, least=3)


def describe_machine(device: str, clock: str = "wall") -> dict[str, Any]:
    """Return chip, cores, memory, versions, load and measured matmul rates, JSON-able."""
    kind = device.split(":")[0]
    dtypes = [torch.float32, torch.float16 if kind == "mps" else torch.bfloat16]
    return {
        "chip": _chip_name(),
        "cpu_features": _cpu_features(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "device": device,
        "gpu": torch.cuda.get_device_name(0) if kind == "cuda" else "",
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "load_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "clock": clock,
        "matmul_tflops": {_word(dtype): round(matmul_tflops(device, dtype, clock), 3) for dtype in dtypes},
    }


def matmul_tflops(device: str, dtype: torch.dtype, clock: str = "wall") -> float:
    """Return the rate of a large square matrix product in TFLOP/s, the median of several."""
    side = _SIDE[device.split(":")[0]]
    left, right = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    times = race({"product": lambda: left @ right}, replace(_EFFORT, clock=clock), device)["product"]
    return 2 * side**3 / statistics.median(times) / 1e12


def use_one_thread() -> None:
    """Keep torch, Faiss and the processes started from here on one thread."""
    import faiss

    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _chip_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cpu_features() -> list[str]:
    checks = {
        "AVX2": "_is_avx2_supported",
        "AVX-512": "_is_avx512_supported",
        "AVX512-BF16": "_is_avx512_bf16_supported",
        "AMX": "_is_amx_tile_supported",
    }
    return [name for name, check in checks.items() if getattr(torch.cpu, check, bool)()]
