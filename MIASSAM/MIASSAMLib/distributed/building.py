"""Encode the volumes of a bank build on a cluster, one task per volume."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .. import __version__
from ..config import Config
from ..errors import CheckpointError, MiassamError
from ..method import BuildSource, EncodedSlice, LocalEncoder, Preprocessing
from ..protocols import SamModel
from .ordered import map_in_order


@dataclasses.dataclass(frozen=True)
class ModelRecipe:
    """How a worker loads the model; the digest must come out the same on every machine."""

    name: str
    checkpoint: Path | None
    device: str
    digest: str


@dataclasses.dataclass(frozen=True)
class EncodeTask:
    """One volume to encode, and all a worker needs for it."""

    source: BuildSource
    stored: frozenset[int]
    model: ModelRecipe
    config: Config
    preprocessing: Preprocessing
    batch: int
    code_version: str


@dataclasses.dataclass(frozen=True)
class DaskEncoder:
    """Encodes volumes on a Dask cluster; rows come back in the order of one process.

    The files must be readable under the same paths on every worker.
    """

    client: Any
    model: ModelRecipe
    config: Config
    preprocessing: Preprocessing
    batch: int = 0

    def encode(
        self, sources: Sequence[BuildSource], stored: Callable[[str], frozenset[int]]
    ) -> Iterator[tuple[int, Iterable[EncodedSlice]]]:
        """See `build.SourceEncoder.encode`."""
        fixed = (self.model, self.config, self.preprocessing, self.batch, __version__)
        tasks = (EncodeTask(source, stored(source.name), *fixed) for source in sources)
        yield from map_in_order(self.client, encode_volume, tasks)


def encode_volume(task: EncodeTask) -> tuple[int, list[EncodedSlice]]:
    """Encode one volume on a worker; the image embeddings stay there, only patch features travel."""
    if task.code_version != __version__:
        raise MiassamError(
            f"a worker runs MIASSAM {__version__} and the build was started by {task.code_version}; "
            "install the same version on every machine"
        )
    encoder = LocalEncoder(_load(task.model), task.config, task.preprocessing, task.batch)
    n_wanted, slices = encoder.encode_source(task.source, task.stored)
    return n_wanted, [_without_embedding(encoded) for encoded in slices]


def _without_embedding(encoded: EncodedSlice) -> EncodedSlice:
    return dataclasses.replace(encoded, embedding=encoded.embedding.new_empty(0).cpu())


@functools.cache
def _load(recipe: ModelRecipe) -> SamModel:
    from ..sam import load_model

    model = load_model(recipe.name, recipe.checkpoint, recipe.device)
    if model.digest != recipe.digest:
        raise CheckpointError(
            f"a worker's {recipe.name} is {model.digest[:6]} and the build's is {recipe.digest[:6]}; "
            "give every machine the same checkpoint file"
        )
    return model
