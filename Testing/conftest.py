"""Shared by all tests: the folder `shared` beside the project, with real volumes and golden values."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1].parent / "shared"


def _there(path: Path) -> Path:
    if os.environ.get("MIASSAM_WITHOUT_SHARED") == "1":
        pytest.skip("MIASSAM_WITHOUT_SHARED=1 says that no shared folder is beside the project")
    if not path.exists():
        pytest.fail(
            f"{path} is not there, so this test could not check anything; put the shared folder beside the project, "
            "or set MIASSAM_WITHOUT_SHARED=1 where there is none"
        )
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real volumes."""
    return _there(SHARED / "data")


@pytest.fixture(scope="session")
def shared_golden() -> Path:
    """The folder of values that the published code gave."""
    return _there(SHARED / "golden")
