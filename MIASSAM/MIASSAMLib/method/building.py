"""Build a bank: stream normal volumes through the encoder, store their patches, calibrate, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from .. import __version__
from ..arrays import AnyArray, BoolArray, FloatArray
from ..bank import BankWriter, Candidates, ManifestDraft, MemoryBank, Selector
from ..bank.coreset import Choice, n_kept, select_rows
from ..config import Config, RefinedConfig
from ..errors import BankError
from ..protocols import Progress, SamModel, no_progress
from ..volume import Volume
from .features import EncodedSlice, encode_slices, foreground_patches
from .held_out import HeldOutSlices, calibrate
from .normal_slices import normal_slices
from .patches import patch_places
from .prepare import PreparedVolume, Preprocessing


@dataclass(frozen=True)
class BuildSource:
    """One normal volume, read only when its turn comes.

    Attributes:
        name: unique name in the bank.
        load: reads the volume and, where there is one, a label (K, J, I) of what is not normal.
        digest: SHA-256 of the volume, for the manifest.
        label_digest: SHA-256 of the label: a build that was interrupted begins anew when it has changed.
    """

    name: str
    load: Callable[[], tuple[Volume, AnyArray | None]]
    digest: str = ""
    label_digest: str = ""


@dataclass(frozen=True)
class BuildOptions:
    """How a bank is built.

    Attributes:
        modality, anatomy: words for the manifest; modality "" = the first volume's.
        overwrite: replace a bank of this name.
        batch: slices encoded at once; 0 chooses.
        coreset: which part of the patches stays, and how it is chosen.
        calibrate: measure held-out slices where the preset wants it; without, the bank serves comparison only.
        writer: further keywords of `BankWriter` (storage).
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    modality: str = ""
    anatomy: str = ""
    overwrite: bool = False
    batch: int = 0
    coreset: Choice = field(default_factory=Choice)
    calibrate: bool = True
    writer: dict[str, Any] = field(default_factory=dict)


class SourceEncoder(Protocol):
    """Encodes volumes for a build: here, or on other machines."""

    def encode(
        self, sources: Sequence[BuildSource], stored: Callable[[str], frozenset[int]]
    ) -> Iterator[tuple[int, Iterable[EncodedSlice]]]:
        """Yield, source by source in order, how many slices it has for the bank and those not yet stored."""
        ...


@dataclass(frozen=True)
class LocalEncoder:
    """Encodes volumes in this process, one slice batch at a time; `every` thins the normal slices."""

    model: SamModel
    config: Config
    preprocessing: Preprocessing
    batch: int = 0
    every: int = 1

    def encode(
        self, sources: Sequence[BuildSource], stored: Callable[[str], frozenset[int]]
    ) -> Iterator[tuple[int, Iterable[EncodedSlice]]]:
        """See `SourceEncoder.encode`."""
        for source in sources:
            yield self.encode_source(source, stored(source.name))

    def encode_source(self, source: BuildSource, stored: frozenset[int]) -> tuple[int, Iterable[EncodedSlice]]:
        """Return how many slices of a source belong in the bank, and an iterator over those not stored."""
        volume, lesion = source.load()
        prepared = PreparedVolume.of(volume, self.preprocessing, self.config)
        wanted = normal_slices(prepared, lesion, self.config.lesion_margin)[:: self.every]
        missing = [index for index in wanted if index not in stored]
        return len(wanted), encode_slices(self.model, prepared, missing, self.config, self.batch)


def build_bank(
    path: Path,
    sources: Sequence[BuildSource],
    model: SamModel,
    config: Config,
    options: BuildOptions | None = None,
    progress: Progress = no_progress,
    encoder: SourceEncoder | None = None,
) -> MemoryBank:  # seven: what a bank is made of, and who watches and shares the work
    """Build `NAME.bank` from normal volumes; an interrupted build of the same inputs resumes.

    encoder: who encodes the volumes; None = this process.

    Raises:
        BankError: no slice is normal, the folder exists, or it cannot be written.
        InputError: a source cannot be read.
    """
    options = options or BuildOptions()
    n_kept(1, options.coreset.ratio)  # refuse a bad ratio before the work
    if not sources:
        raise BankError("no volume was given to build from; name at least one normal volume")
    encoder = encoder or LocalEncoder(model, config, options.preprocessing, options.batch)
    inputs = {
        "inputs": [[source.name, source.digest] for source in sources],
        "exclusion_masks": [source.label_digest for source in sources],
        "slice_step": getattr(encoder, "every", 1),
        "coreset": asdict(options.coreset),
    }
    first = PreparedVolume.of(sources[0].load()[0], options.preprocessing, config)
    kept = {"overwrite": options.overwrite, "progress": progress, "inputs": inputs, **options.writer}
    with BankWriter(path, _draft(model, config, options, first), **kept) as writer:
        held_out = HeldOutSlices(path.with_name(f"{path.name}.building"), config if options.calibrate else None)
        encoded = encoder.encode(sources, writer.stored_slices)
        for number, (source, (n_wanted, slices)) in enumerate(zip(sources, encoded, strict=True)):
            _add_slices(writer, held_out, source, (n_wanted, slices), config, _nested(progress, number, len(sources)))
        if options.coreset.ratio != 1:
            writer.select(_selector(options.coreset, config.seed, progress), f"{options.coreset.method} coreset")
        calibration = None
        if options.calibrate and isinstance(config, RefinedConfig):
            calibration = calibrate(writer, held_out, config, progress)
        return writer.finish(calibration)


def _add_slices(
    writer: BankWriter,
    held_out: HeldOutSlices,
    source: BuildSource,
    counted: tuple[int, Iterable[EncodedSlice]],
    config: Config,
    progress: Progress,
) -> None:  # six: the inner loop of `build_bank`, which holds all of them
    n_wanted, slices = counted
    done = len(writer.stored_slices(source.name))
    for encoded in slices:
        held_out.offer(source.name, encoded)
        rows, wanted = bank_rows(encoded, config)
        places = dict.fromkeys(rows, slice_places(encoded)[wanted])
        writer.add(source.name, rows, part=encoded.index, digest=source.digest, places=places)
        done += 1
        progress(f"encoding {source.name}", done, n_wanted)


def bank_rows(encoded: EncodedSlice, config: Config) -> tuple[dict[str, AnyArray], BoolArray]:
    """Return the rows of a normal slice that go into a bank, and which patches (1024,) they are."""
    wanted = foreground_patches(encoded.foreground, config)
    if not encoded.is_compared_inside(config):
        wanted = np.ones_like(wanted)
    return {kind: rows[wanted] for kind, rows in encoded.features.items()}, wanted


def slice_places(encoded: EncodedSlice) -> FloatArray:
    """Return where each patch lies, float32 (N, 3): x, y in the foreground's box, and the depth of the slice."""
    places = patch_places(encoded.foreground)
    return np.column_stack([places, np.full(len(places), encoded.depth, np.float32)])


def _selector(choice: Choice, seed: int, progress: Progress) -> Selector:
    def select(candidates: Candidates) -> AnyArray:
        return select_rows(choice, candidates.chunks, candidates.places, seed, progress)

    return select


def _nested(progress: Progress, number: int, total: int) -> Progress:
    def report(stage: str, done: int, of: int) -> None:
        progress(f"volume {number + 1}/{total}: {stage}", done, of)

    return report


def _draft(model: SamModel, config: Config, options: BuildOptions, first: PreparedVolume) -> ManifestDraft:
    return ManifestDraft(
        preset=config.preset,
        config=config.to_dict(),
        config_digest=config.digest(),
        model_name=model.name,
        model_digest=model.digest,
        preprocessing=options.preprocessing.to_dict(),
        slice_axis=first.plane.orientation,
        modality=options.modality or first.volume.modality,
        anatomy=options.anatomy,
        seed=config.seed,
        code_version=__version__,
    )
