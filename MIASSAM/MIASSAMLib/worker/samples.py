"""Sample volumes and the banks that fit them, from the library's phantoms: no download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .server import Call

if TYPE_CHECKING:
    from ..protocols import SamModel

NORMAL_SEEDS = (101, 102, 103)
"""Phantoms without lesions that a sample bank is built from."""
EVERY_NTH_SLICE = 2
"""Slices of them that are taken: a sample bank must be ready within a coffee break, without a GPU."""


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
    from .building import describe

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
