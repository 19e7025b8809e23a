"""The worker opens banks as the command line does: what one refuses both refuse."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from MIASSAMLib.errors import BankError, InputError, UsageError
from MIASSAMLib.phantoms import default_grid, make_phantom
from MIASSAMLib.worker import engine as engine_module
from MIASSAMLib.worker.engine import Engine


class FakeCall:
    """Arrays by name instead of files, and nobody to report to."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def load(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def save(self, stem: str, array: np.ndarray) -> str:
        self.arrays[stem] = array
        return stem

    def progress(self, stage: str, done: int, total: int) -> None:
        pass

    log = progress


@pytest.fixture
def call() -> FakeCall:
    return FakeCall()


def opened(call: FakeCall, voxels: np.ndarray, key: str = "v") -> Engine:
    engine = Engine()
    call.arrays["voxels"] = voxels
    place = default_grid("brain").ijk_to_ras.tolist()
    engine.open_volume({"key": key, "array": "voxels", "ijk_to_ras": place, "name": "case"}, call)
    return engine


def some_brain() -> np.ndarray:
    return make_phantom("brain", 101, 1).volume.voxels_kji


def asked(bank: Path, **more: object) -> dict[str, object]:
    return {"volume": "v", "bank": str(bank), "options": {"slices": [10, 12]}, **more}


def test_bug_the_worker_segmented_a_ct_with_an_mri_bank(call, brain_bank_path):
    engine = opened(call, make_phantom("liver", 101).volume.voxels_kji)
    with pytest.raises(InputError, match="looks like CT but the bank holds MRI"):
        engine.segment(asked(brain_bank_path), call)


def test_bug_the_worker_recorded_no_bank(call, brain_bank_path):
    run = opened(call, some_brain()).segment(asked(brain_bank_path), call)["run"]
    assert run["bank"]["name"] == brain_bank_path.name
    assert run["bank"]["modality"] == "mri" and len(run["bank"]["manifest_sha256"]) == 64


def test_bug_the_device_never_reached_the_bank(call, brain_bank_path, monkeypatch):
    seen = []

    def open_segmenter(bank, model, preset, device, modality, with_banks):
        seen.append(device)
        raise BankError("stop here")

    monkeypatch.setattr(engine_module, "open_segmenter", open_segmenter)
    with pytest.raises(BankError, match="stop here"):
        opened(call, some_brain()).segment(asked(brain_bank_path, model={"device": "cpu"}), call)
    assert seen == ["cpu"]


def test_changes_and_presets_reach_the_config(call, brain_bank_path):
    engine = opened(call, some_brain())
    answer = engine.segment(asked(brain_bank_path, changes="contrast=flair"), call)
    assert answer["run"]["config"]["contrast"] == "flair" and answer["run"]["config"]["preset"] == "refined"
    answer = engine.segment(asked(brain_bank_path, preset="refined", changes="zoom=off"), call)
    assert answer["run"]["config"]["zoom"] == []


def test_a_correction_after_a_run_encodes_nothing_and_zero_pixels_change_nothing(call, brain_bank_path):
    engine = opened(call, some_brain())
    request = asked(brain_bank_path, options={"slices": [6, 18], "all_slices": True})
    answer = engine.segment(request, call)
    labels = call.arrays["labels"]
    item = next(item for item in answer["slices"] if item["findings"])
    finding = item["findings"][0]
    points = {"slice": item["index"], "points_ijk": [finding["cog_ijk"]], "labels": [1]}
    again = engine.redecode({**request, **points}, call)
    assert again["n_encoded"] == answer["n_encoded"]
    k = round(finding["cog_ijk"][2])
    np.testing.assert_array_equal(call.arrays["mask"][0] > 0, labels[k] == finding["lesion"])


def test_a_box_alone_outlines(call, brain_bank_path):
    engine = opened(call, some_brain())
    request = {**asked(brain_bank_path), "slice": 11, "box_ijk": [[60, 60, 11], [80, 84, 11]]}
    answer = engine.redecode(request, call)
    assert answer["prompt"] == "user" and call.arrays["mask"].any()
    np.testing.assert_allclose(answer["cog_ijk"][:2], [70, 72], atol=0.51)


def test_a_closed_volume_is_forgotten(call, brain_bank_path):
    engine = opened(call, some_brain())
    engine.segment(asked(brain_bank_path), call)
    engine.close_volume({"key": "v"}, call)
    with pytest.raises(InputError, match="not open in the worker"):
        engine.segment(asked(brain_bank_path), call)
    assert not engine._readings


def test_a_drag_encodes_no_window_twice_and_gives_the_mask_of_a_model_that_forgets(embedded_model):
    from MIASSAMLib.method.embeddings import EncodeOnceModel, RecentEmbeddings

    class Counting:
        name, digest, device, input_px = "m", "d", "cpu", embedded_model.input_px
        n_encoded = 0

        def encode(self, rasters, content_boxes=None):
            self.n_encoded += len(rasters)
            return embedded_model.encode(rasters, content_boxes)

    side, counting = embedded_model.input_px, Counting()
    rasters = np.random.default_rng(1).random((3, side, side)).astype(np.float32)
    recent = EncodeOnceModel(counting, RecentEmbeddings())
    first, again = recent.encode(rasters[:2]), recent.encode(rasters[[1, 2, 1]])
    assert counting.n_encoded == 3
    assert (again[0] == first[1]).all() and (again[2] == first[1]).all()
    assert (first == embedded_model.encode(rasters[:2])).all()
    assert not (again[1] == first[1]).all()


def test_further_contrasts_come_with_their_volume_and_each_needs_its_bank(call, brain_bank_path):
    engine, place = opened(call, some_brain()), default_grid("brain").ijk_to_ras
    call.arrays["other"] = some_brain()[:, ::2, ::2]
    other = {
        "array": "other",
        "ijk_to_ras": (place @ np.diag([2.0, 2, 1, 1])).tolist(),
        "name": "t1c",
        "modality": "mri",
    }
    volume = {"key": "v", "array": "voxels", "ijk_to_ras": place.tolist(), "name": "flair", "contrasts": [other]}
    assert "t1c was interpolated linearly onto the voxels of flair" in engine.open_volume(volume, call)["notes"]
    with pytest.raises(UsageError, match="1 further contrasts came with 0 banks"):
        engine.segment(asked(brain_bank_path), call)
    answer = engine.segment(asked(brain_bank_path, with_banks=[str(brain_bank_path)]), call)
    assert "compared in flair and t1c, outlined in flair" in answer["notes"]
    assert [bank["name"] for bank in answer["run"]["banks_beside"]] == [brain_bank_path.name]
    far = {
        **other,
        "ijk_to_ras": (np.array([[1, 0, 0, 9e3], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ place).tolist(),
    }
    with pytest.raises(InputError, match="do not overlap"):
        engine.open_volume({**volume, "contrasts": [far]}, call)
