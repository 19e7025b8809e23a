"""Build a bank: stream normal volumes through the encoder, store their patches, calibrate, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..arrays import AnyArray
from ..config import Config
from ..errors import BankError
from ..memory_bank import BankWriter, ManifestDraft, MemoryBank
from ..pipeline import EncodedSlice, PreparedVolume, Preprocessing, encode_slices, foreground_patches
from ..protocols import Progress, SamModel, no_progress
from ..volume import Volume
from .calibrate import HeldOutSlices, calibrate
from .normal_slices import normal_slices


@dataclass(frozen=True)
class BuildSource:
    """One normal volume, read only when its turn comes.

    Attributes:
        name: unique name in the bank.
        load: reads the volume and, where there is one, a label (K, J, I) of what is not normal.
        digest: SHA-256 of the volume, for the manifest.
    """

    name: str
    load: Callable[[], tuple[Volume, AnyArray | None]]
    digest: str = ""


@dataclass(frozen=True)
class BuildOptions:
    """How a bank is built.

    Attributes:
        modality, anatomy: words for the manifest.
        overwrite: replace a bank of this name.
        batch: slices encoded at once; 0 chooses.
        every: only every n-th normal slice of a volume is stored.
        writer: further keywords of `BankWriter` (storage).
    """

    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    modality: str = ""
    anatomy: str = ""
    overwrite: bool = False
    batch: int = 0
    every: int = 1
    writer: dict[str, Any] = field(default_factory=dict)


def build_bank(
    path: Path,
    sources: Sequence[BuildSource],
    model: SamModel,
    config: Config,
    options: BuildOptions | None = None,
    progress: Progress = no_progress,
) -> MemoryBank:
    """Build `NAME.bank` from normal volumes; an interrupted build of the same inputs resumes.

    Raises:
        BankError: no slice is normal, the folder exists, or it cannot be written.
        InputError: a source cannot be read.
    """
    options = options or BuildOptions()
    if not sources:
        raise BankError("no volume was given to build from; name at least one normal volume")
    with BankWriter(path, _draft(model, config, options), overwrite=options.overwrite, **options.writer) as writer:
        held_out = HeldOutSlices(path.with_name(f"{path.name}.building"), config)
        for number, source in enumerate(sources):
            _add_source(writer, held_out, source, model, config, options, _nested(progress, number, len(sources)))
        calibration = calibrate(writer, held_out, config, progress) if config.calibrated else None
        return writer.finish(calibration)


def _add_source(
    writer: BankWriter,
    held_out: HeldOutSlices,
    source: BuildSource,
    model: SamModel,
    config: Config,
    options: BuildOptions,
    progress: Progress,
) -> None:
    volume, lesion = source.load()
    prepared = PreparedVolume.of(volume, options.preprocessing)
    wanted = normal_slices(prepared, lesion)[:: options.every]
    missing = [index for index in wanted if not writer.has(source.name, index)]
    for done, encoded in enumerate(encode_slices(model, prepared, missing, config, options.batch), 1):
        held_out.offer(source.name, encoded)
        writer.add(source.name, bank_rows(encoded, config), part=encoded.index, digest=source.digest)
        progress(f"encoding {source.name}", len(wanted) - len(missing) + done, len(wanted))


def bank_rows(encoded: EncodedSlice, config: Config) -> dict[str, AnyArray]:
    """Return the rows of a normal slice that go into a bank."""
    if not config.foreground_only:
        return dict(encoded.features)
    wanted = foreground_patches(encoded.foreground, config)
    return {kind: rows[wanted] for kind, rows in encoded.features.items()}


def _nested(progress: Progress, number: int, total: int) -> Progress:
    def report(stage: str, done: int, of: int) -> None:
        progress(f"volume {number + 1}/{total}: {stage}", done, of)

    return report


def _draft(model: SamModel, config: Config, options: BuildOptions) -> ManifestDraft:
    return ManifestDraft(
        preset=config.preset,
        config=config.to_dict(),
        config_digest=config.digest(),
        model_name=model.name,
        model_digest=model.digest,
        preprocessing=options.preprocessing.to_dict(),
        slice_axis=options.preprocessing.axis,
        modality=options.modality or options.preprocessing.modality,
        anatomy=options.anatomy,
        seed=config.seed,
        code_version=__version__,
    )
