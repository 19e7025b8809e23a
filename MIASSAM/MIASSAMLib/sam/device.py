"""Choose the device and the precision the hardware is fastest in."""

from __future__ import annotations

import torch

from ..errors import UsageError

DEVICE_WORDS = "auto, cpu, cuda, cuda:N or mps"


def choose_device(word: str) -> torch.device:
    """Return the torch device for a user's word; "auto" takes CUDA, then MPS, then the CPU."""
    if word == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    kind = word.split(":")[0]
    if kind not in ("cpu", "cuda", "mps"):
        raise UsageError(f"device {word!r} is unknown; choose {DEVICE_WORDS}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda' was asked for, but torch sees no CUDA GPU here; choose auto or cpu")
    if kind == "mps" and not _has_mps():
        raise UsageError("device 'mps' was asked for, but torch sees no Apple GPU here; choose auto or cpu")
    return torch.device(word)


def choose_precision(device: torch.device, word: str = "auto") -> torch.dtype:
    """Return the dtype of the encoder: the user's, or the fastest one the device has units for."""
    if word != "auto":
        return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[word]
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if cpu_has_bf16_units() else torch.float32


def cpu_has_bf16_units() -> bool:
    """Return whether bf16 products are faster than float32 here (AMX or AVX512-BF16, not emulation)."""

    checks = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    return any(check() for check in checks if check is not None)


def _has_mps() -> bool:
    return bool(torch.backends.mps.is_available())


def device_words() -> list[str]:
    """Return the devices there are, in words, best first."""
    found = [f"cuda:{n} ({torch.cuda.get_device_name(n)})" for n in range(torch.cuda.device_count())]
    return [*found, *(["mps"] if _has_mps() else []), f"cpu ({torch.get_num_threads()} threads)"]
