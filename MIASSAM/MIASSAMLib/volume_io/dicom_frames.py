"""Enhanced multi-frame DICOM: one file whose frames say each where they lie, sorted by highdicom (extra `dicom`).

ITK takes the frames in the order of the file, whatever their positions (seen with SimpleITK 2.5.7).
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..errors import InputError
from .raw import RawImage, flip_lps_ras

_STORAGE = "1.2.840.10008.5.1.4.1.1"
ENHANCED = frozenset(f"{_STORAGE}.{end}" for end in ("2.1", "2.2", "4.1", "4.4", "130", "128.1", "77.1.5.4"))
"""Storage classes: enhanced and legacy converted CT, MR and PET, and ophthalmic tomography (OCT)."""


def read_frames(path: Path, modality: str) -> RawImage:
    """Read an enhanced multi-frame file as one volume.

    Raises:
        InputError: highdicom is missing, or the frames are not one volume of evenly spaced slices.
    """
    if find_spec("highdicom") is None:
        raise InputError(
            f"{path.name} is an enhanced multi-frame image, whose frames must be sorted by position; "
            "pip install 'miassam[dicom]' for that, or convert it to NIfTI"
        )
    import highdicom

    try:
        volume = highdicom.imread(path).get_volume(
            dtype=np.float32, apply_real_world_transform=False, apply_presentation_lut=False
        )
    except (RuntimeError, ValueError, AttributeError, KeyError, OSError) as error:
        raise InputError(
            f"{path.name}: its frames are not one volume of evenly spaced slices ({error}); "
            "save one volume (time point, echo, b-value) as its own series"
        ) from error
    kji_to_lps = np.asarray(volume.affine, np.float64)
    ijk_to_ras, frame_uid = flip_lps_ras(kji_to_lps[:, [2, 1, 0, 3]]), str(volume.frame_of_reference_uid or "")
    return RawImage(np.asarray(volume.array), ijk_to_ras, modality, frame_uid=frame_uid)
