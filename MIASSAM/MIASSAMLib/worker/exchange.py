"""Arrays cross the pipe as .npy files in a folder both sides know; nothing is ever pickled."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError


def save_array(folder: Path, stem: str, array: AnyArray) -> str:
    """Write an array and return its file name."""
    name = f"{stem}.npy"
    np.save(folder / name, np.ascontiguousarray(array), allow_pickle=False)
    return name


def load_array(folder: Path, name: str) -> AnyArray:
    """Read an array by its file name.

    Raises:
        InputError: the name leaves the folder, or the file is missing or no array.
    """
    if Path(name).name != name:
        raise InputError(f"'{name}' is not a file name of the exchange folder")
    try:
        return np.asarray(np.load(folder / name, allow_pickle=False))
    except (OSError, ValueError) as error:
        raise InputError(f"the array {name} cannot be read ({error}); run the step again") from error
