"""The one table of models: what each is called, what it is, where its file comes from.

Every list of model names reads it. Importing it loads neither torch nor NumPy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError

CACHE_FOLDER_VARIABLE = "MIASSAM_CHECKPOINTS"
"""Environment variable that moves the checkpoint cache, as a cluster without a home folder needs."""


@dataclass(frozen=True)
class ModelEntry:
    """One model a user can name.

    Attributes:
        name: what `--model` takes and a bank records.
        architecture: "embedded", "vit_t", "vit_b", "vit_l" or "vit_h"; "" = read it from the file.
        words: what it is, for people.
        file_name: name of the published file; "" where there is none.
        n_bytes: size of that file; 0 where it is not known.
        url: https address of the file or, for a model given by file, of the page where people find it.
        sha256: hex digest of the file; "" = this package neither ships nor fetches it.
        takes_unit_range: its encoder wants grey values 0 to 1 instead of SAM's normalized colors.
    """

    name: str
    architecture: str
    words: str
    file_name: str = ""
    n_bytes: int = 0
    url: str = ""
    sha256: str = ""
    takes_unit_range: bool = False

    @property
    def is_shipped(self) -> bool:
        """Its weights are inside the package."""
        return self.name == "embedded"

    @property
    def is_downloadable(self) -> bool:
        """`miassam models fetch` gets it."""
        return bool(self.sha256) and not self.is_shipped

    @property
    def about(self) -> str:
        """Its size in words, for people: "41 MB", "" where it is not known."""
        if not self.n_bytes:
            return ""
        return f"{self.n_bytes / 1e6:.0f} MB" if self.n_bytes < 1e9 else f"{self.n_bytes / 1e9:.1f} GB"


_META = "https://dl.fbaipublicfiles.com/segment_anything/"

MODELS: dict[str, ModelEntry] = {
    entry.name: entry
    for entry in (
        ModelEntry(
            "embedded", "embedded", "Embedded (small, no download)", "embedded.pt", 12_514_667,
            sha256="01275f5552e8ca6b9bc5ece872de229083da0d37802a669531f5e6b25a0c851f",
        ),
        ModelEntry(
            "vit_t", "vit_t", "MobileSAM (TinyViT)", "mobile_sam.pt", 40_728_226,
            "https://raw.githubusercontent.com/ChaoningZhang/MobileSAM/master/weights/mobile_sam.pt",
            "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f",
        ),
        ModelEntry(
            "vit_b", "vit_b", "SAM ViT-B", "sam_vit_b_01ec64.pth", 375_042_383, _META + "sam_vit_b_01ec64.pth",
            "ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        ),
        ModelEntry(
            "vit_l", "vit_l", "SAM ViT-L", "sam_vit_l_0b3195.pth", 1_249_524_607, _META + "sam_vit_l_0b3195.pth",
            "3adcc4315b642a4d2101128f611684e8734c41232a17c648ed1693702a49a622",
        ),
        ModelEntry(
            "vit_h", "vit_h", "SAM ViT-H", "sam_vit_h_4b8939.pth", 2_564_550_879, _META + "sam_vit_h_4b8939.pth",
            "a7bf3b02f3ebf1267aba913ff637d9a2d5c33d3173bb679e46d9f338c26f262e",
        ),
        ModelEntry(
            "medsam", "vit_b", "MedSAM (ViT-B, from a file; trained for box prompts)", "medsam_vit_b.pth",
            url="https://github.com/bowang-lab/MedSAM", takes_unit_range=True,
        ),
        ModelEntry(
            "medicosam", "vit_b", "MedicoSAM (ViT-B, from a file)", "vit_b_medicosam.pt",
            url="https://github.com/computational-cell-analytics/medico-sam",
        ),
        ModelEntry("auto", "", "Checkpoint file (its architecture is read from it)"),
    )
}  # fmt: skip
"""Every model by name, in the order people see them."""

MODEL_NAMES: tuple[str, ...] = tuple(MODELS)


def find_model(name: str) -> ModelEntry:
    """Return the table's row of a model.

    Raises:
        UsageError: no model is called so.
    """
    if name not in MODELS:
        raise UsageError(f"model {name!r} is unknown; choose one of {', '.join(MODELS)}")
    return MODELS[name]


def downloadable() -> list[ModelEntry]:
    """Return the models that `miassam models fetch` gets."""
    return [entry for entry in MODELS.values() if entry.is_downloadable]


def find_downloadable(name: str) -> ModelEntry:
    """Return the table's row of a downloadable model.

    Raises:
        UsageError: no model is called so, or this one is not downloaded.
    """
    entry = find_model(name)
    if not entry.is_downloadable:
        where = "is inside the package" if entry.is_shipped else "is given by its file, with --checkpoint"
        names = ", ".join(each.name for each in downloadable())
        raise UsageError(f"model {name!r} {where}; downloaded models are {names}")
    return entry


def checkpoint_cache_folder() -> Path:
    """Return the folder of fetched checkpoints: the platform's user cache, or $MIASSAM_CHECKPOINTS."""
    moved = os.environ.get(CACHE_FOLDER_VARIABLE)
    if moved:
        return Path(moved)
    import platformdirs

    return platformdirs.user_cache_path("miassam", appauthor=False) / "checkpoints"


def checkpoint_path(entry: ModelEntry) -> Path:
    """Return where the file of a model lies, in the package or the cache folder, whether or not it is there yet."""
    if entry.is_shipped:
        return Path(__file__).parent / "embedded" / "weights" / entry.file_name
    return checkpoint_cache_folder() / entry.file_name
