"""Shared by the library's tests: one embedded model and one small calibrated bank of each kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from MIASSAMLib.bank import MemoryBank
from MIASSAMLib.config import preset
from MIASSAMLib.method import BuildOptions, BuildSource, build_bank
from MIASSAMLib.phantoms import Phantom, make_phantom
from MIASSAMLib.sam import load_model

N_NORMAL = 3


@pytest.fixture(scope="session")
def embedded_model():
    return load_model("embedded", device="cpu")


@pytest.fixture(scope="session")
def normal_brains() -> list[Phantom]:
    return [make_phantom("brain", seed) for seed in range(N_NORMAL)]


@pytest.fixture(scope="session")
def brain_bank_path(tmp_path_factory, embedded_model, normal_brains) -> Path:
    """A bank of normal brain phantoms, preset `refined`."""
    path = tmp_path_factory.mktemp("banks") / "brain.bank"
    sources = [BuildSource(f"normal_{n}", lambda p=p: (p.volume, None)) for n, p in enumerate(normal_brains)]
    build_bank(path, sources, embedded_model, preset("refined"), BuildOptions(modality="mri", anatomy="brain phantom"))
    return path


@pytest.fixture(scope="session")
def brain_bank(brain_bank_path) -> MemoryBank:
    return MemoryBank.load(brain_bank_path)
