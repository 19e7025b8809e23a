"""The one composition of the program, and its public face: from files or arrays to masks.

Command line, worker, evaluation and demo open banks, models and segmenters here and nowhere else, so that what one of
them refuses all refuse. Users import the same functions: `from MIASSAMLib import build_bank, open_segmenter`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from .arrays import AnyArray
from .bank import Lesson, MemoryBank, teach
from .config import Config, changed, read_config
from .config import preset as preset_of
from .errors import BankMismatchError, CheckpointError, InputError, UsageError
from .method import BuildOptions, BuildSource, Preprocessing, Reading, Segmenter
from .method import build_bank as build_from_sources
from .protocols import SamModel
from .sam import load_model as open_model
from .volume import Volume
from .volume_io import case_names, on_voxels_of, read_label, read_volume, source_digest

AnyBank: TypeAlias = Path | str | MemoryBank | None
AnyModel: TypeAlias = SamModel | str | None
AnyVolume: TypeAlias = Path | str | Volume
AnyMask: TypeAlias = Path | str | AnyArray | None

__all__ = [
    "bounded",
    "build_bank",
    "normal_sources",
    "open_model",
    "open_segmenter",
    "reopen_segmenter",
    "teach_normal",
    "with_contrasts",
]


def open_segmenter(
    bank: AnyBank = None,
    model: AnyModel = None,
    preset: str | None = None,
    device: str = "auto",
    modality: str = "",
    with_banks: Sequence[AnyBank] = (),
) -> Segmenter:  # six: the public face names what a user chooses
    """Open a bank and its model, ready to segment volumes.

    Args:
        bank: a bank folder, an open bank, or None: then a volume is compared with itself (preset refined).
        model: name of a model or an open one; None = the one the bank was built with, `embedded` without a bank.
        preset: a preset, with changes as in `refined:zoom=off`; only changes, as in `:contrast=flair`, change the
            bank's own; None = the bank's own, `refined` without a bank.
        device: "auto", "cpu", "cuda" or "mps", for model and bank.
        modality: "mri", "ct" or "oct" where the volumes do not tell it rightly; "" = as they tell.
        with_banks: a bank for each further contrast of the volumes (`with_contrasts`), in order, with its own preset.

    Raises:
        UsageError: the preset does not exist, a change does not fit, or it needs a calibration the bank has not.
        BankError, BankMismatchError: the bank is damaged or was built with something else.
        CheckpointError: the model cannot be loaded.
    """
    opened = bank if isinstance(bank, MemoryBank) or bank is None else MemoryBank.load(bank, device=device)
    draft = opened.manifest.draft if opened else None
    config = _config(preset, draft.config if draft else None)
    if model is None or isinstance(model, str):
        model = open_model(model or (draft.model_name if draft else "embedded"), device=device)
    preprocessing = Preprocessing.from_dict(draft.preprocessing) if draft else Preprocessing()
    if modality:
        preprocessing = dataclasses.replace(preprocessing, modality=modality)
    if opened is None:
        if with_banks:
            raise UsageError("banks came for further contrasts and none for the volume itself; give all or none")
        return Segmenter(model, None, config, preprocessing)
    opened.check_fits(config.to_dict(), model.name, model.digest)
    if config.is_calibrated and not opened.calibration:
        raise UsageError(
            f"the bank has no calibration on normal slices, which the preset {config.preset} needs; build it with "
            f"--preset {config.preset}, or segment with --preset {opened.manifest.draft.preset}"
        )
    known = {source.digest: source.name for source in opened.manifest.sources if source.digest}
    beside = [open_segmenter(other, model, None, device, modality) for other in with_banks]
    return Segmenter(model, opened, config, preprocessing, opened.words, known, beside)


def reopen_segmenter(
    record: Mapping[str, Any], bank: Path | str | None, model: SamModel, with_banks: Sequence[Path] = ()
) -> Segmenter:
    """Open what a record (`X.json`) was made with, to go on with its case.

    Raises:
        BankMismatchError: the bank is another one.
        CheckpointError: the model is another one.
    """
    if model.digest != record["model"]["sha256"]:
        raise CheckpointError(
            f"the record was made with {record['model']['name']} ({record['model']['sha256'][:6]}) and the model is "
            f"{model.name} ({model.digest[:6]}); give the same one"
        )
    opened = open_segmenter(bank, model, device=model.device, with_banks=with_banks)
    was = [record["bank"], *record.get("banks_beside", ())]
    made_by, came = (
        [[words.get(key, "") for key in ("manifest_sha256", "taught_sha256")] for words in banks]
        for banks in (was, [opened.bank_words, *(one.bank_words for one in opened.beside)])
    )
    if made_by != came:
        raise BankMismatchError(f"{bank} is not the bank of this record, or was changed since; give the same one")
    preprocessing = Preprocessing.from_dict(record["preprocessing"])
    config = read_config(record["config"])
    return Segmenter(model, opened.bank, config, preprocessing, opened.bank_words, opened.known, opened.beside)


def _config(preset: str | None, own: Any) -> Config:
    name, _, changes = (preset or "").partition(":")
    if name or own is None:
        return preset_of(preset or "refined")
    return changed(read_config(own), changes)


def build_bank(
    path: Path | str,
    volumes: Sequence[AnyVolume],
    masks: Sequence[AnyMask] = (),
    model: AnyModel = "embedded",
    preset: str = "refined",
    options: BuildOptions | None = None,
    regions: Sequence[AnyMask] = (),
) -> MemoryBank:  # seven parameters: the public face names what a user chooses
    """Build a memory bank folder from normal volumes.

    Args:
        path: the folder, `NAME.bank`.
        volumes: files, DICOM folders, or volumes in memory.
        masks: for each volume a file or an array (K, J, I), nonzero where not normal, or None; none = all normal.
        model: name of a model or an open one.
        preset: a preset, with changes as in `refined:zoom=off`.
        options: words, preprocessing, coreset and storage.
        regions: for each volume a file or an array (K, J, I), nonzero in the organ that is compared; none = all.

    Raises:
        BankError: no slice is normal, the folder exists, or it cannot be written.
        InputError: a volume cannot be read, or is of another modality than the first.
    """
    options = options or BuildOptions()
    opened = open_model(model or "embedded") if model is None or isinstance(model, str) else model
    sources = normal_sources(volumes, masks, options.preprocessing.modality, regions=regions)
    return build_from_sources(Path(path), sources, opened, preset_of(preset), options)


def normal_sources(
    volumes: Sequence[AnyVolume],
    masks: Sequence[AnyMask] = (),
    modality: str = "",
    names: Sequence[str] = (),
    regions: Sequence[AnyMask] = (),
) -> list[BuildSource]:
    """Pair normal volumes with the masks of what is not normal in them; files are read when their turn comes.

    Args:
        modality: what all are, whatever they tell; "" = what they tell, which must be one.
        names: names in the bank; by default the files' own, made unique.

    Raises:
        UsageError: there are not as many masks or regions as volumes.
    """
    nothing: list[AnyMask] = [None] * len(volumes)
    masks, regions = list(masks) or nothing, list(regions) or nothing
    for name, given in (("masks", masks), ("regions", regions)):
        if len(given) != len(volumes):
            raise UsageError(f"{len(given)} {name} came for {len(volumes)} volumes; give one for each, in order")
    names = names or case_names([Path(each.name if isinstance(each, Volume) else each) for each in volumes])
    load = functools.partial(_load_normal, modality=modality, first=volumes[0] if volumes else None)
    return [
        BuildSource(
            name,
            functools.partial(load, volume, mask, region),
            _digest(volume),
            _mask_digest(mask) + _mask_digest(region),
        )
        for name, volume, mask, region in zip(names, volumes, masks, regions, strict=True)
    ]


def bounded(volume: Volume, region: AnyMask) -> Volume:
    """Return a volume of which only a region is compared and marked.

    region: a file on the volume's grid or an array (K, J, I), nonzero inside; None = all of it.

    Raises:
        InputError: the region lies on another grid, or is empty.
    """
    if region is None:
        return volume
    inside = read_label(Path(region), volume) if isinstance(region, (str, Path)) else region
    return dataclasses.replace(volume, region_kji=np.asarray(inside) != 0)


def with_contrasts(volume: Volume, contrasts: Sequence[AnyVolume]) -> Volume:
    """Return a volume together with further contrasts of the same patient, such as T1c beside FLAIR.

    contrasts: files, DICOM folders or volumes; what lies on another grid is interpolated linearly onto the volume's,
    which its notes say.

    Raises:
        InputError: a contrast cannot be read, lies in another frame of reference, does not overlap the volume, or
            does not say where it lies.
    """
    return dataclasses.replace(volume, contrasts=tuple(on_voxels_of(_read(one), volume) for one in contrasts))


def teach_normal(
    bank: Path | str, volume: AnyVolume | Reading, region: AnyMask, words: str = "", by: str = "", device: str = "auto"
) -> Lesson:  # six: the public face names what a user chooses
    """Teach a bank that a region of a volume is normal; `MIASSAMLib.bank.unteach` takes the last lesson back.

    The patches that see the region become rows of the bank; its calibration stays that of the volumes it was built
    from, so what is like the region is marked no more and all else as before.

    Args:
        bank: the bank folder.
        volume: a file, a volume, or one that a segmenter of this bank has open.
        region: a file on the volume's grid or an array (K, J, I), nonzero where normal.
        words: what the region is called. by: who says so; "" = the user of this computer.

    Raises:
        InputError: the region lies on another grid, or is empty.
        BankError: the bank is damaged or cannot be written, or no patch of the patient lies in the region.
    """
    if isinstance(volume, Reading):
        reading = volume
        segmenter = Segmenter(reading.model, reading.bank, reading.config)
    else:
        segmenter = open_segmenter(bank, device=device)
        reading = segmenter.open(_read(volume))
    marked = bounded(dataclasses.replace(reading.prepared.volume, region_kji=None), region)
    if marked.region_kji is None:
        raise UsageError("no region came; mark what is normal")
    rows, n_slices = segmenter.normal_rows(reading, marked.region_kji)
    return teach(Path(bank), rows, Lesson(marked.name, words, n_slices, by))


def _load_normal(
    volume: AnyVolume, mask: AnyMask, region: AnyMask, modality: str, first: AnyVolume | None
) -> tuple[Volume, AnyArray | None]:
    """Read one volume of a bank and its mask; without a told modality it must be the first volume's."""
    read = _read(volume)
    if modality:
        read = dataclasses.replace(read, modality=modality)
    elif first is not None and first is not volume and read.modality != (expected := _modality_of(first)):
        raise InputError(
            f"{read.name} looks like {read.modality.upper()} but the first volume like {expected.upper()}; "
            "build one bank for each modality, or name the right one with --modality"
        )
    read = bounded(read, region)
    return read, read_label(Path(mask), read) if isinstance(mask, Path | str) else mask


def _read(volume: AnyVolume) -> Volume:
    return volume if isinstance(volume, Volume) else read_volume(Path(volume))


def _modality_of(volume: AnyVolume) -> str:
    return volume.modality if isinstance(volume, Volume) else _modality_of_file(Path(volume))


@functools.cache
def _modality_of_file(path: Path) -> str:
    return read_volume(path).modality


def _mask_digest(mask: AnyMask) -> str:
    """Return the SHA-256 of a mask; "" = none."""
    if mask is None:
        return ""
    if isinstance(mask, (str, Path)):
        return source_digest(Path(mask))
    return hashlib.sha256(np.ascontiguousarray(mask).tobytes()).hexdigest()


def _digest(volume: AnyVolume) -> str:
    if isinstance(volume, Volume):
        return volume.voxels_sha256
    return source_digest(Path(volume))
