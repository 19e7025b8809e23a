"""Memory banks and sample volumes for the other side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import AnyArray
from ..bank import Manifest, read_manifest, verify_bank
from ..bank import import_bank as unpack
from ..config import preset
from ..protocols import SamModel
from ..volume import Volume
from .answers import jsonable

if TYPE_CHECKING:
    from ..method import BuildSource
    from .server import Call

NORMAL_SEEDS = (101, 102, 103)
"""Phantoms without lesions that a sample bank is built from."""
EVERY_NTH_SLICE = 2
"""Slices of them that are taken: a sample bank must be ready within a coffee break, without a GPU."""


def build_bank_of(arguments: Mapping[str, Any], model: SamModel, call: Call) -> dict[str, Any]:
    """Build a bank from the volumes of a request."""
    from ..method import BuildOptions, Preprocessing, build_bank

    modality = str(arguments.get("modality") or "")
    options = BuildOptions(
        preprocessing=Preprocessing(axis=str(arguments.get("axis") or "auto"), modality=modality),
        modality=modality,
        anatomy=str(arguments.get("anatomy") or ""),
        overwrite=bool(arguments.get("overwrite")),
    )
    sources = [_source(each, modality, call) for each in arguments["volumes"]]
    path = Path(str(arguments["output"]))
    config = preset(str(arguments.get("preset") or "refined"))
    bank = build_bank(path, sources, model, config, options, call.progress)
    return {"path": str(path), **describe(bank.manifest)}


def _source(data: Mapping[str, Any], modality: str, call: Call) -> BuildSource:
    from ..method import BuildSource

    voxels = np.nan_to_num(np.asarray(call.load(data["array"]), np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    volume = Volume(voxels, np.array(data["ijk_to_ras"], float), str(data["name"]), modality)
    marked: AnyArray | None = call.load(data["exclude_mask"]) if data.get("exclude_mask") else None
    label_digest = "" if marked is None else hashlib.sha256(marked.tobytes()).hexdigest()
    digest = hashlib.sha256(voxels.tobytes()).hexdigest()
    return BuildSource(volume.name, lambda: (volume, marked), digest, label_digest)


def bank_info(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Describe a bank folder; with "verify", name what is damaged."""
    path = Path(str(arguments["path"]))
    answer = describe(read_manifest(path))
    if arguments.get("verify"):
        answer["damage"] = verify_bank(path)
    return answer


def import_bank(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Unpack a bank archive and describe the bank."""
    path = Path(str(arguments["path"]))
    manifest = unpack(Path(str(arguments["archive"])), path, bool(arguments.get("overwrite")), call.progress)
    return {"path": str(path), **describe(manifest), "notes": list(manifest.notes)}


def describe(manifest: Manifest) -> dict[str, Any]:
    """Return what a user wants to know of a bank."""
    draft = manifest.draft
    return {
        "model": draft.model_name,
        "model_digest": draft.model_digest,
        "preset": draft.preset,
        "modality": draft.modality,
        "anatomy": draft.anatomy,
        "slice_axis": draft.slice_axis,
        "n_slices": manifest.n_slices,
        "n_patches": jsonable({kind: record.n_patches for kind, record in manifest.kinds.items()}),
        "sources": [source.name for source in manifest.sources],
        "calibrated": bool(manifest.calibration_file),
    }


def make_sample(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Generate a phantom: kind, seed, n_lesions."""
    from ..phantoms import make_phantom

    call.progress("generating the sample", 0, 1)
    phantom = make_phantom(str(arguments["kind"]), int(arguments["seed"]), int(arguments["n_lesions"]))
    call.progress("generating the sample", 1, 1)
    return {
        "array": call.save("sample", phantom.volume.voxels_kji),
        "truth": call.save("truth", phantom.lesion_labels_kji),
        "ijk_to_ras": phantom.volume.ijk_to_ras.tolist(),
        "name": phantom.volume.name,
        "modality": phantom.volume.modality,
        "description": phantom.description,
    }


def build_sample_bank(arguments: Mapping[str, Any], model: SamModel, call: Call) -> dict[str, Any]:
    """Build the bank of a kind of phantom from volumes without lesions."""
    from ..config import preset
    from ..method import BuildOptions, BuildSource, LocalEncoder, Preprocessing, build_bank
    from ..phantoms import make_phantom

    kind = str(arguments["kind"])
    modality = make_phantom(kind, NORMAL_SEEDS[0]).volume.modality
    sources = [
        BuildSource(f"{kind}_normal_{seed}", lambda seed=seed: (make_phantom(kind, seed).volume, None))  # type: ignore[misc]
        for seed in arguments.get("seeds") or NORMAL_SEEDS
    ]
    options = BuildOptions(
        preprocessing=Preprocessing(modality=modality), modality=modality, anatomy=f"{kind} phantom", overwrite=True
    )
    path = Path(str(arguments["output"]))
    config = preset(str(arguments.get("preset") or "refined"))
    every = int(arguments.get("every") or EVERY_NTH_SLICE)
    encoder = LocalEncoder(model, config, options.preprocessing, every=every)
    bank = build_bank(path, sources, model, config, options, call.progress, encoder)
    return {"path": str(path), **describe(bank.manifest)}
