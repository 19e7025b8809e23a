"""Which slices of a volume may teach what is normal."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ..arrays import AnyArray
from ..errors import InputError
from .prepare import PreparedVolume


def normal_slices(prepared: PreparedVolume, lesion_kji: AnyArray | None, margin: int) -> list[int]:
    """Return the slices that show the patient and no lesion within `margin` slices.

    lesion_kji: nonzero where not normal, same shape as the volume; None = all normal.

    Raises:
        InputError: the label has another shape.
    """
    plane = prepared.plane
    if lesion_kji is not None and lesion_kji.shape != prepared.volume.shape_kji:
        raise InputError(
            f"{prepared.volume.name}: the exclusion label has {lesion_kji.shape} voxels (K, J, I) but the volume has "
            f"{prepared.volume.shape_kji}; give the label of this volume"
        )
    wanted = plane.view(prepared.foreground_kji).any((1, 2))
    if lesion_kji is not None:
        diseased = plane.view(np.asarray(lesion_kji) != 0).any((1, 2))
        wanted &= ~(ndimage.binary_dilation(diseased, iterations=margin) if margin else diseased)
    return [int(index) for index in np.flatnonzero(wanted)]
