"""The verbs that need the model, the bank or a volume, on the real library."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..api import bounded, open_model, open_segmenter, teach_normal, with_contrasts
from ..bank import MemoryBank, taught_digest, unteach
from ..errors import InputError, UsageError
from ..method import Reading, Segmenter, SegmentOptions, UserPrompts
from ..method.embeddings import EmbeddingCache, EncodeOnceModel, RecentEmbeddings
from ..protocols import SamModel
from ..volume import SlicePlane, Volume
from ..volume_io import guess_modality
from . import answers, banks
from .server import Call

Arguments = Mapping[str, Any]


class Engine:
    """Holds the model, the bank and the open volumes between requests."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep what spills to disk in `folder`, which goes with the process however it ends."""
        self._volumes: dict[str, Volume] = {}
        self._models: dict[str, SamModel] = {}
        self._segmenters: dict[tuple[str, ...], Segmenter] = {}
        self._readings: dict[tuple[str, ...], Reading] = {}
        self._embeddings = EmbeddingCache(folder=folder)

    def load_model(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Load a model and say what it runs on."""
        model = self._model(arguments, call)
        return {"name": model.name, "digest": model.digest, "device": model.device}

    def open_volume(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Take a volume: array (K, J, I), ijk_to_ras, name, modality, region (K, J, I), under a key.

        "contrasts": further volumes of the patient, each with array, ijk_to_ras, name and modality; what lies on
        another grid is interpolated onto the first one's, or refused.
        """
        key, volume = str(arguments["key"]), _volume_of(arguments, call)
        self._forget_readings(of=key)
        if arguments.get("region"):
            volume = bounded(volume, call.load(arguments["region"]))
        volume = with_contrasts(volume, [_volume_of(each, call) for each in arguments.get("contrasts") or ()])
        self._volumes[key] = volume
        notes = [*volume.notes, *(note for each in volume.contrasts for note in each.notes)]
        return {"notes": notes, "modality": volume.modality, "slice_axis": SlicePlane.of(volume, "auto").slice_axis}

    def close_volume(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Forget a volume and its embeddings."""
        self._volumes.pop(str(arguments["key"]), None)
        self._forget_readings(of=str(arguments["key"]))
        return {}

    def segment(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Segment an open volume; heat map and labels come back as arrays, or all files go to "output".

        "bank", and "with_banks" with that of each further contrast; without banks the volume is compared with itself.
        """
        segmenter, reading = self._reading({**arguments, "searched": True}, call)
        digest = reading.prepared.volume.voxels_sha256 if segmenter.known else ""
        case = segmenter.segment(reading, _options(arguments), call.progress, digest)
        answer = {**answers.case_answer(case), "device": reading.model.device, "n_encoded": reading.n_encoded}
        if arguments.get("output"):
            from ..outputs import write_case

            return {**answer, "row": answers.jsonable(write_case(Path(str(arguments["output"])), case))}
        return {**answer, "heat": call.save("heat", case.heat_kji), "labels": call.save("labels", case.labels_kji)}

    def redecode(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Outline one slice again from points (i, j, k) and labels, or a box of two corners (i, j, k).

        "searched": the slice is part of a run that searched, with a bank or without.
        """
        segmenter, reading = self._reading(arguments, call)
        plane, index = reading.prepared.plane, int(arguments["slice"])
        prompts = _user_prompts(arguments, reading)
        if arguments.get("searched"):
            segmenter.compare_with_itself(reading)
        finding = segmenter.correct(reading, index, prompts, _options(arguments))
        answer = answers.finding_answer(finding, plane.ijk(index, np.array(finding.cog_xy)))
        answer["mask"] = call.save("mask", answers.storage_slice(plane, finding.mask))
        return {**answer, "slice": index, "slice_axis": plane.slice_axis, "n_encoded": reading.n_encoded}

    def teach_normal(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Teach the bank that "normal" (K, J, I) of an open volume is normal; "words" and "by" say what and who."""
        reading = self._reading(arguments, call)[1]
        said = (str(arguments.get("words") or ""), str(arguments.get("by") or ""))
        lesson = teach_normal(str(arguments["bank"]), reading, call.load(arguments["normal"]), *said)
        return answers.jsonable(asdict(lesson))  # type: ignore[no-any-return]

    def unteach(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Take back what a bank was taught last."""
        return answers.jsonable(asdict(unteach(Path(str(arguments["bank"])))))  # type: ignore[no-any-return]

    def build_bank(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Build a memory bank from volumes."""
        model = self._model(arguments, call)
        self._release_banks()
        return banks.build_bank_of(arguments, model, call)

    def build_sample_bank(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Build the bank that fits a sample volume."""
        self._release_banks()
        return banks.build_sample_bank(arguments, self._model(arguments, call), call)

    def bank_info(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Describe a bank folder."""
        return banks.bank_info(arguments, call)

    def _reading(self, arguments: Arguments, call: Call) -> tuple[Segmenter, Reading]:
        key = str(arguments["volume"])
        if key not in self._volumes:
            raise InputError(f"volume '{key}' is not open in the worker; send it again")
        identity, segmenter = self._segmenter(arguments, call)
        is_searched = bool(segmenter.bank or arguments.get("searched"))
        name = (key, *identity, "searched" if is_searched else "on demand")
        if name not in self._readings:
            reading = segmenter.open(self._volumes[key], self._embeddings)
            self._forget_readings(all_but=key)
            self._readings[name] = reading
        return segmenter, self._readings[name]

    def _segmenter(self, arguments: Arguments, call: Call) -> tuple[tuple[str, ...], Segmenter]:
        """Open the bank with the model, as the command line does, unless both are open and unchanged."""
        model = self._model(arguments, call)
        bank, beside = str(arguments.get("bank") or ""), [str(each) for each in arguments.get("with_banks") or ()]
        preset, changes = str(arguments.get("preset") or ""), str(arguments.get("changes") or "")
        words = ",".join(filter(None, [preset.partition(":")[2], changes]))
        chosen = f"{preset.partition(':')[0]}:{words}" if words else preset
        modality = str(arguments.get("modality") or "")
        digests = (each for path in beside for each in (path, _manifest_digest(path)))
        identity = (model.name, model.digest, model.device, bank, _manifest_digest(bank), chosen, modality, *digests)
        if identity not in self._segmenters:
            opened = self._opened_bank(identity) or bank or None
            segmenter = open_segmenter(opened, model, chosen or None, model.device, modality, beside)
            self._segmenters = {identity: segmenter}
        return identity, self._segmenters[identity]

    def _opened_bank(self, identity: tuple[str, ...]) -> MemoryBank | None:
        """Return the open bank when only preset or modality change, so that it is not read again."""
        for known, segmenter in self._segmenters.items():
            if identity[2:5] == known[2:5] and isinstance(segmenter.bank, MemoryBank):
                return segmenter.bank
        return None

    def _model(self, arguments: Arguments, call: Call) -> SamModel:
        wanted = dict(arguments.get("model") or {})
        identity = repr(sorted(wanted.items()))
        if identity not in self._models:
            call.progress("loading the model", 0, 1)
            self._models.clear()
            checkpoint = Path(str(wanted["checkpoint"])) if wanted.get("checkpoint") else None
            name, device = str(wanted.get("name") or "embedded"), str(wanted.get("device") or "auto")
            self._models[identity] = EncodeOnceModel(open_model(name, checkpoint, device), RecentEmbeddings())
            call.progress("loading the model", 1, 1)
        return self._models[identity]

    def _forget_readings(self, of: str = "", all_but: str = "") -> None:
        gone = [name for name in self._readings if name[0] == of or (all_but and name[0] != all_but)]
        for name in gone:
            self._readings.pop(name).forget()

    def _release_banks(self) -> None:
        """Let go of memory-mapped banks: Windows replaces no folder of which a file is open."""
        self._segmenters, self._readings = {}, {}
        gc.collect()


def _volume_of(arguments: Arguments, call: Call) -> Volume:
    """Return a volume as it came, of a guessed modality where none is said."""
    voxels = np.asarray(call.load(arguments["array"]), np.float32)
    notes = ()  # type: tuple[str, ...]
    if not np.isfinite(voxels).all():
        voxels = np.nan_to_num(voxels, nan=0.0, posinf=0.0, neginf=0.0)
        notes = ("voxels that were not finite were read as 0",)
    place, name = np.array(arguments["ijk_to_ras"], float), str(arguments.get("name", "volume"))
    volume = Volume(voxels, place, name, str(arguments.get("modality") or ""), notes=notes)
    return volume if volume.modality else replace(volume, modality=guess_modality(volume))


def _manifest_digest(bank: str) -> str:
    """Return the digests of a bank's manifest, which names those of all its files, and of what it was taught."""
    path = Path(bank, "manifest.json")
    if not bank or not path.is_file():
        return ""
    return hashlib.sha256(path.read_bytes()).hexdigest() + taught_digest(path.parent)


def _user_prompts(arguments: Arguments, reading: Reading) -> UserPrompts:
    plane = reading.prepared.plane
    xy = [plane.slice_xy(np.asarray(ijk, float))[1] for ijk in arguments.get("points_ijk") or ()]
    labels = np.asarray(arguments.get("labels") or (), np.int64)
    if len(labels) != len(xy):
        raise UsageError(f"{len(labels)} labels came for {len(xy)} points; give one for each")
    box = None
    if arguments.get("box_ijk"):
        corners = np.array([plane.slice_xy(np.asarray(ijk, float))[1] for ijk in arguments["box_ijk"]])
        box = np.concatenate([corners.min(0) - 0.5, corners.max(0) + 0.5])
    return UserPrompts(np.array(xy, float).reshape(-1, 2), labels, box)


def _options(arguments: Arguments) -> SegmentOptions:
    """Return the options of a run; a correction takes those of the run it corrects."""
    data = dict(arguments.get("options") or {})
    if arguments.get("mask"):
        data["mask"] = arguments["mask"]
    known = {"slices", "prompt", "mask", "all_slices", "sensitivity", "min_volume_ml"}
    if unknown := sorted(set(data) - known):
        raise UsageError(f"options {unknown} are unknown; this version knows {sorted(known)}")
    if data.get("slices") is not None:
        data["slices"] = (int(data["slices"][0]), int(data["slices"][1]))
    return SegmentOptions(**data)
