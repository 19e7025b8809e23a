"""Which patch features find a lesion: the embedding, intensity statistics, or both after calibration.

Leave one patient out. The bank of a patient is every fourth lesion-free slice of the others, patches of the
foreground only; the search is exact. Distances become z-scores of log distance, calibrated on the normal slices of
the other patients, each against a bank without itself; so nothing is tuned on the patient under test.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import faiss
import numpy as np
import torch
from MIASSAMLib.config import Config, preset
from MIASSAMLib.method import EncodedSlice, encode_slices, foreground_patches
from MIASSAMLib.method.anomaly_map import anomaly_map
from MIASSAMLib.method.prompts import center_of_gravity
from MIASSAMLib.sam.embedded import EmbeddedSam
from MIASSAMLib.sam.models import EmbeddedModel
from MIASSAMLib.volume.slice_image import frame_to_native, map_to_frame_xy, native_to_map
from numpy.typing import NDArray

from training.real_clicks import RealCase, dice

KINDS = ("embedding", "intensity")
NORMAL_STEP = 4
GAMMAS = (5.0, 10.0)
FUSIONS: dict[str, Callable[[dict[str, NDArray[np.float32]]], NDArray[np.float32]]] = {
    "embedding": lambda z: z["embedding"],
    "intensity": lambda z: z["intensity"],
    "sum": lambda z: z["embedding"] + z["intensity"],
    "intensity + 0.25 embedding": lambda z: z["intensity"] + 0.25 * z["embedding"],
    "maximum": lambda z: np.maximum(z["embedding"], z["intensity"]),
}


@dataclass
class Searched:
    """One slice with its foreground patches and how far each is from each patient's bank.

    Attributes:
        encoded: the slice.
        wanted: foreground patches, bool (N,).
        distances: kind -> log distance to the nearest row of each patient (n_patients, n_wanted).
    """

    encoded: EncodedSlice
    wanted: NDArray[np.bool_]
    distances: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def to(self, kind: str, bank: Sequence[int]) -> NDArray[np.float32]:
        """Return the log distances (n_wanted,) to a bank of several patients."""
        return np.asarray(self.distances[kind][list(bank)].min(0))


@dataclass
class Patient:
    """The slices of one patient: normal ones for banks and calibration, tumor slices to test."""

    case: RealCase
    normal: list[Searched]
    tumor: list[Searched]


@dataclass
class Tally:
    """What one fusion reached so far."""

    inside: list[NDArray[np.float32]] = field(default_factory=list)
    outside: list[NDArray[np.float32]] = field(default_factory=list)
    hits: dict[float, list[bool]] = field(default_factory=lambda: {gamma: [] for gamma in GAMMAS})
    dice: dict[float, list[float]] = field(default_factory=lambda: {gamma: [] for gamma in GAMMAS})

    def table(self) -> dict[str, float]:
        """Return pooled AUROC inside the organ, share of hits and mean Dice per gamma."""
        row = {"auroc_in_organ": auroc(np.concatenate(self.inside), np.concatenate(self.outside))}
        for gamma in GAMMAS:
            row[f"cog_in_lesion_gamma_{gamma:g}"] = float(np.mean(self.hits[gamma]))
            row[f"chain_dice_third_gamma_{gamma:g}"] = float(np.mean(self.dice[gamma]))
        return row


def measure_features(model: EmbeddedSam, cases: Sequence[RealCase], step: int) -> dict[str, dict[str, float]]:
    """Measure every fusion on every `step`-th tumor slice of the cases."""
    config = preset("refined")
    wrapped = EmbeddedModel(model, "embedded", "measured", torch.device("cpu"))
    patients = [_encode(wrapped, case, config, step) for case in cases]
    for kind in KINDS:
        _search(patients, kind)
    tallies = {name: Tally() for name in FUSIONS}
    for number, patient in enumerate(patients):
        others = [other for other in range(len(patients)) if other != number]
        calibration = {kind: _calibrate(patients, others, kind) for kind in KINDS}
        for searched in patient.tumor:
            z = {kind: _z_map(searched, others, kind, calibration[kind], config) for kind in KINDS}
            for name, fuse in FUSIONS.items():
                _score(tallies[name], model, patient.case, searched.encoded, fuse(z))
    return {name: tally.table() for name, tally in tallies.items()}


def _encode(model: EmbeddedModel, case: RealCase, config: Config, step: int) -> Patient:
    """Encode the normal slices of a case that make banks, and the tumor slices under test."""
    plane = case.prepared.plane
    organ = case.prepared.foreground_kji if case.organ_kji is None else case.organ_kji
    has_organ = [index for index in range(plane.n_slices) if plane.take(organ, index).sum() > 500]
    normal = [index for index in has_organ if not case.lesion(index).any()][::NORMAL_STEP]

    def encode(indexes: list[int]) -> list[Searched]:
        slices = encode_slices(model, case.prepared, indexes, config)
        return [Searched(each, foreground_patches(each.foreground, config)) for each in slices]

    return Patient(case, encode(normal), encode(case.slices(step=step)))


def _search(patients: Sequence[Patient], kind: str) -> None:
    """Search every slice that is tested or calibrates in the normal rows of every patient."""
    indexes = [_index([_rows(each, kind) for each in patient.normal]) for patient in patients]
    for patient in patients:
        for searched in [*patient.normal[::2], *patient.tumor]:
            rows = _rows(searched, kind)
            nearest = np.stack([index.search(rows, 1)[0][:, 0] for index in indexes])
            searched.distances[kind] = 0.5 * np.log(np.maximum(nearest, 1e-12))


def _rows(searched: Searched, kind: str) -> NDArray[np.float32]:
    """Return the foreground rows of a slice."""
    return np.ascontiguousarray(searched.encoded.features[kind][searched.wanted])


def _index(rows: list[NDArray[np.float32]]) -> faiss.IndexFlatL2:
    """Index rows for exact search."""
    index = faiss.IndexFlatL2(rows[0].shape[1])
    index.add(np.concatenate(rows))
    return index


def _calibrate(patients: Sequence[Patient], chosen: Sequence[int], kind: str) -> tuple[float, float]:
    """Return mean and spread of the log distances of normal patches, each chosen patient against the others."""
    found = []
    for number in chosen:
        bank = [other for other in chosen if other != number]
        found += [searched.to(kind, bank) for searched in patients[number].normal[::2]]
    values = np.concatenate(found)
    return float(values.mean()), float(values.std())


def _z_map(
    searched: Searched, bank: Sequence[int], kind: str, calibration: tuple[float, float], config: Config
) -> NDArray[np.float32]:
    """Return the calibrated map of a slice (256, 256); patches outside the foreground are as the least."""
    z = (searched.to(kind, bank) - calibration[0]) / calibration[1]
    scores = np.full(len(searched.wanted), z.min(), np.float32)
    scores[searched.wanted] = z
    return np.asarray(anomaly_map(scores, config), np.float32)


def _score(
    tally: Tally, model: EmbeddedSam, case: RealCase, encoded: EncodedSlice, values: NDArray[np.float32]
) -> None:
    """Add one slice: its pixels by truth, whether the center of gravity hits, and the third mask's Dice."""
    frame, truth = case.prepared.frame, case.lesion(encoded.index)
    lesion = native_to_map(truth, frame) > 0.5
    organ = encoded.foreground
    if case.organ_kji is not None:
        organ = native_to_map(case.prepared.plane.take(case.organ_kji, encoded.index), frame) > 0.5
    tally.inside.append(values[organ & lesion])
    tally.outside.append(values[organ & ~lesion])
    for gamma in GAMMAS:
        place = center_of_gravity(np.where(organ, np.maximum(values, 0), 0), gamma)
        if place is None:
            tally.hits[gamma].append(False)
            tally.dice[gamma].append(0.0)
            continue
        column, row = np.round(place).astype(int)
        tally.hits[gamma].append(bool(lesion[row, column]))
        point = torch.from_numpy(map_to_frame_xy(place)[None, None])
        logits, _ = model.decode(encoded.embedding, point, torch.ones(1, 1))
        tally.dice[gamma].append(dice(frame_to_native(logits[0].numpy(), frame)[2] > 0, truth))


def auroc(positive: NDArray[np.float32], negative: NDArray[np.float32]) -> float:
    """Return the chance that a positive scores above a negative, ties counting half."""
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    return float(below.mean() / (2 * len(negative)))
