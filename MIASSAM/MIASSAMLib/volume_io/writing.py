"""Write volumes, heat maps and CoG points so that Slicer opens them in the right place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import UsageError
from ..files import atomic_path, write_text
from ..volume import Volume
from .formats import file_format
from .raw import flip_lps_ras, flip_lps_ras_point, is_right_angled

MARKUPS_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/"
    "markups-schema-v1.0.3.json#"
)
_SCANNER = 1
_RIGHT_ANGLE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class MarkupPoint:
    """One point of a Slicer markups node.

    Attributes:
        label: shown beside the point.
        ras: position in mm, RAS.
        description: longer text, shown in Slicer's point table.
        is_locked: whether the user may drag it.
    """

    label: str
    ras: tuple[float, float, float]
    description: str = ""
    is_locked: bool = False


def write_volume(path: Path | str, volume: Volume) -> Path:
    """Write a volume as float32 NIfTI, NRRD or MetaImage, by the suffix of `path`.

    Raises:
        UsageError: another suffix, or the place cannot be written.
    """
    path = Path(path)
    kind = file_format(path)
    if kind == "nifti":
        return _write_nifti(path, volume.voxels_kji, volume)
    if kind == "itk" and path.suffix.lower() in (".nrrd", ".mha"):
        return _write_itk(path, volume)
    raise UsageError(f"{path.name}: cannot write this kind of volume; choose .nii.gz, .nii, .nrrd or .mha")


def write_heat_map(path: Path | str, map_kji: FloatArray, volume: Volume) -> Path:
    """Write a map (K, J, I) as float32 NIfTI in the geometry of `volume`; qform and sform agree."""
    if map_kji.shape != volume.shape_kji:
        raise ValueError(f"heat map has shape {map_kji.shape}; expected the volume's {volume.shape_kji}")
    return _write_nifti(Path(path), map_kji, volume)


def write_markups(
    path: Path | str, points: Sequence[MarkupPoint], color: tuple[float, float, float] = (1.0, 0.5, 0.0)
) -> Path:
    """Write a Slicer markups fiducial list (.mrk.json, schema 1.0.3, positions in LPS as Slicer writes them)."""
    markup = {
        "type": "Fiducial",
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(points),
        "controlPoints": [_control_point(number, point) for number, point in enumerate(points, 1)],
        "measurements": [],
        "display": {"visibility": True, "opacity": 1.0, "color": list(color), "selectedColor": list(color)},
    }
    write_text(path, json.dumps({"@schema": MARKUPS_SCHEMA, "markups": [markup]}, indent=2, ensure_ascii=False) + "\n")
    return Path(path)


def _control_point(number: int, point: MarkupPoint) -> dict[str, Any]:
    return {
        "id": str(number),
        "label": point.label,
        "description": point.description,
        "associatedNodeID": "",
        "position": [float(value) for value in flip_lps_ras_point(np.array(point.ras))],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
        "selected": True,
        "locked": point.is_locked,
        "visibility": True,
        "positionStatus": "defined",
    }


def _write_nifti(path: Path, voxels_kji: AnyArray, volume: Volume) -> Path:
    import nibabel

    image: Any = nibabel.Nifti1Image(np.asarray(voxels_kji, np.float32).transpose(2, 1, 0), volume.ijk_to_ras)
    image.header.set_xyzt_units("mm")
    image.set_sform(volume.ijk_to_ras, _SCANNER)
    has_qform = is_right_angled(volume.ijk_to_ras, _RIGHT_ANGLE_TOLERANCE)  # it knows rotations only
    image.set_qform(volume.ijk_to_ras, _SCANNER if has_qform else 0)
    with atomic_path(path, ".nii.gz" if path.name.lower().endswith(".gz") else ".nii") as temporary:
        nibabel.save(image, temporary)
    return path


def _write_itk(path: Path, volume: Volume) -> Path:
    import SimpleITK as sitk

    lps = flip_lps_ras(volume.ijk_to_ras)
    image = sitk.GetImageFromArray(volume.voxels_kji)
    image.SetSpacing(volume.spacing_mm.tolist())
    image.SetDirection((lps[:3, :3] / volume.spacing_mm).ravel().tolist())
    image.SetOrigin(lps[:3, 3].tolist())
    with atomic_path(path, path.suffix.lower()) as temporary:
        try:
            sitk.WriteImage(image, str(temporary), True)
        except RuntimeError as error:
            raise OSError(str(error).strip().splitlines()[-1]) from error
    return path
