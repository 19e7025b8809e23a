"""The verbs that need the model, the bank or a volume, on the real library."""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..bank import MemoryBank
from ..config import Config, changed, preset
from ..errors import InputError, UsageError
from ..method import Preprocessing, SegmentOptions
from ..method.embedding_cache import EmbeddingCache
from ..protocols import SamModel
from ..volume import Volume
from . import answers, building, models, samples
from .memory import with_less_memory
from .server import Call
from .session import WarmSegmenter

Arguments = Mapping[str, Any]


class Engine:
    """Holds the model, the bank and the open volumes between requests."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep what spills to disk in `folder`, which goes with the process however it ends."""
        self._volumes: dict[str, Volume] = {}
        self._models: dict[str, SamModel] = {}
        self._banks: dict[str, MemoryBank] = {}
        self._sessions: dict[tuple[str, ...], WarmSegmenter] = {}
        self._embeddings = EmbeddingCache(folder=folder)

    def load_model(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Load a model and say what it runs on."""
        model = self._model(arguments, call)
        return {"name": model.name, "digest": model.digest, "device": model.device}

    def open_volume(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Take a volume: array (K, J, I), ijk_to_ras, name, modality, under a key."""
        key = str(arguments["key"])
        voxels = np.asarray(call.load(arguments["array"]), np.float32)
        notes = ()  # type: tuple[str, ...]
        if not np.isfinite(voxels).all():
            voxels = np.nan_to_num(voxels, nan=0.0, posinf=0.0, neginf=0.0)
            notes = ("voxels that were not finite were read as 0",)
        self._forget_sessions(key)
        self._volumes[key] = Volume(
            voxels, np.array(arguments["ijk_to_ras"], float), str(arguments.get("name", "volume")),
            str(arguments.get("modality", "")), notes=notes,
        )  # fmt: skip
        return {"notes": list(notes)}

    def close_volume(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Forget a volume and its embeddings."""
        self._volumes.pop(str(arguments["key"]), None)
        self._forget_sessions(str(arguments["key"]))
        return {}

    def segment(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Segment an open volume; heat map and labels come back as arrays."""
        session, case = with_less_memory(
            lambda batch, device: self._segment_once(_on_device(arguments, device), batch, call), call.log
        )
        answer = answers.case_answer(case)
        answer["heat"] = call.save("heat", case.heat_kji)
        answer["labels"] = call.save("labels", case.labels_kji)
        return {**answer, "device": session.model.device, "n_encoded": session.n_encoded}

    def redecode(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Decode one slice again from points given as voxel indexes (i, j, k)."""
        session = self._session(arguments, call)
        prepared = session.prepare(session.volume)
        index = int(arguments["slice"])
        if not 0 <= index < prepared.plane.n_slices:
            raise InputError(
                f"slice {index} is not in the volume, which has slices 0 to {prepared.plane.n_slices - 1}"
            )
        xy = np.array([prepared.plane.slice_xy(np.asarray(ijk, float))[1] for ijk in arguments["points_ijk"]])
        encoded = next(session.encode(prepared, [index]))
        mask = arguments.get("mask") or session.config.mask
        finding = session.redecode(prepared, encoded, xy, np.asarray(arguments["labels"], int), mask)
        answer = answers.finding_answer(finding, prepared.plane.ijk(index, np.array(finding.cog_xy)))
        answer["mask"] = call.save("mask", answers.storage_slice(prepared.plane, finding.mask))
        return {**answer, "slice": index, "slice_axis": prepared.plane.slice_axis, "n_encoded": session.n_encoded}

    def build_bank(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Build a memory bank from volumes."""
        model = self._model(arguments, call)
        self._release_banks()
        return building.build_bank_of(arguments, model, call)

    def build_sample_bank(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Build the bank that fits a sample volume."""
        self._release_banks()
        return samples.build_sample_bank(arguments, self._model(arguments, call), call)

    def bank_info(self, arguments: Arguments, call: Call) -> dict[str, Any]:
        """Describe a bank folder."""
        return building.bank_info(arguments, call)

    def _segment_once(self, arguments: Arguments, batch: int, call: Call) -> tuple[WarmSegmenter, Any]:
        session = self._session(arguments, call)
        options = replace(_options(arguments.get("options", {})), batch=batch)
        try:
            return session, session.segment(session.volume, options, call.progress)
        except (MemoryError, RuntimeError):
            session.forget()
            raise

    def _session(self, arguments: Arguments, call: Call) -> WarmSegmenter:
        key = str(arguments["volume"])
        if key not in self._volumes:
            raise InputError(f"volume '{key}' is not open in the worker; send it again")
        model = self._model(arguments, call)
        bank = self._bank(str(arguments.get("bank") or ""))
        chosen = (str(arguments.get(name) or "") for name in ("bank", "preset", "modality", "changes"))
        identity = (key, model.digest, model.device, *chosen)
        if identity not in self._sessions:
            config, preprocessing = _settings(bank, arguments)
            if bank is not None:
                bank.check_fits(config.to_dict(), model.name, model.digest)
            self._forget_sessions(keep=identity[0])
            self._sessions[identity] = WarmSegmenter(
                model, bank, config, preprocessing, self._volumes[key], self._embeddings
            )
        return self._sessions[identity]

    def _model(self, arguments: Arguments, call: Call) -> SamModel:
        wanted = dict(arguments.get("model") or {})
        identity = repr(sorted(wanted.items()))
        if identity not in self._models:
            call.progress("loading the model", 0, 1)
            self._models.clear()
            self._models[identity] = models.load(wanted)
            call.progress("loading the model", 1, 1)
        return self._models[identity]

    def _bank(self, path: str) -> MemoryBank | None:
        if not path:
            return None
        manifest = Path(path) / "manifest.json"
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest() if manifest.is_file() else ""
        if f"{path}:{digest}" not in self._banks:
            self._banks = {f"{path}:{digest}": MemoryBank.load(path)}
        return self._banks[f"{path}:{digest}"]

    def _release_banks(self) -> None:
        """Let go of memory-mapped banks: Windows replaces no folder of which a file is open."""
        self._banks, self._sessions = {}, {}
        gc.collect()

    def _forget_sessions(self, key: str = "", keep: str = "") -> None:
        kept = {
            name: each for name, each in self._sessions.items() if name[0] != key and (not keep or name[0] == keep)
        }
        for name in self._sessions.keys() - kept.keys():
            self._sessions[name].forget()
        self._sessions = kept


def _settings(bank: MemoryBank | None, arguments: Arguments) -> tuple[Config, Preprocessing]:
    """Take config and preprocessing from the bank; a named preset replaces the config, a modality the bank's."""
    changes = str(arguments.get("changes") or "")
    if bank is None:
        return changed(preset(str(arguments.get("preset") or "refined")), changes), Preprocessing()
    draft = bank.manifest.draft
    config = preset(str(arguments["preset"])) if arguments.get("preset") else Config.from_dict(draft.config)
    config = changed(config, changes)
    preprocessing = Preprocessing.from_dict(draft.preprocessing)
    return config, replace(preprocessing, modality=str(arguments.get("modality") or preprocessing.modality))


def _on_device(arguments: Arguments, device: str) -> Arguments:
    if not device:
        return arguments
    return {**arguments, "model": {**arguments.get("model", {}), "device": device}}


def _options(data: Mapping[str, Any]) -> SegmentOptions:
    known = {"slices", "prompt", "mask", "all_slices", "sensitivity", "batch"}
    if unknown := sorted(set(data) - known):
        raise UsageError(f"options {unknown} are unknown; this version knows {sorted(known)}")
    values = dict(data)
    if values.get("slices") is not None:
        values["slices"] = (int(values["slices"][0]), int(values["slices"][1]))
    return SegmentOptions(**values)
