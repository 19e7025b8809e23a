"""A worker with the real protocol and a method so simple that a test can predict every voxel.

Run by tests instead of the library's worker: ``python fakeWorker.py MODULE_FOLDER EXCHANGE_FOLDER``.
A voxel is anomalous where it is above `THRESHOLD`; a re-decoded part is the square around the first
positive point, less the squares around the negative ones.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, sys.argv[1])

import numpy as np
from MIASSAMLib.errors import BankError, CheckpointError, InputError
from MIASSAMLib.worker.channel import Channel
from MIASSAMLib.worker.messages import PROTOCOL_VERSION
from MIASSAMLib.worker.server import serve

THRESHOLD = 150.0
HALF_SIDE = 2
SECONDS_PER_SLICE = float(os.environ.get("FAKE_WORKER_SECONDS", "0"))
IS_DEAF = bool(os.environ.get("FAKE_WORKER_DEAF"))


class FakeEngine:
    def __init__(self):
        self.volumes, self.encoded, self.regions = {}, {}, {}
        self.taught = []

    def verbs(self):
        return {
            name: getattr(self, name)
            for name in (
                "hello",
                "load_model",
                "open_volume",
                "close_volume",
                "segment",
                "redecode",
                "build_bank",
                "bank_info",
                "fetch_model",
                "remove_models",
                "list_models",
                "make_sample",
                "build_sample_bank",
                "teach_normal",
                "unteach",
                "import_bank",
            )
        }

    def hello(self, arguments, call):
        return {"version": "fake", "volumes": sorted(self.volumes)}

    def load_model(self, arguments, call):
        return {"name": arguments["model"]["name"], "digest": "f" * 64, "device": "cpu"}

    def open_volume(self, arguments, call):
        voxels = call.load(arguments["array"])
        self.volumes[arguments["key"]] = voxels
        self.encoded[arguments["key"]] = set()
        self.regions[arguments["key"]] = call.load(arguments["region"]) if "region" in arguments else None
        notes = [] if np.isfinite(voxels).all() else ["voxels that were not finite were read as 0"]
        return {"notes": notes, "modality": "mri", "slice_axis": 2}

    def close_volume(self, arguments, call):
        self.volumes.pop(arguments["key"], None)
        return {}

    def make_sample(self, arguments, call):
        voxels = np.full((6, 40, 50), 50, np.float32)
        voxels[2:4, 10:16, 8:14] = 200
        return {
            "array": call.save("sample", voxels),
            "truth": call.save("truth", (voxels > 100).astype(np.uint8)),
            "ijk_to_ras": np.eye(4).tolist(),
            "name": "fake",
            "modality": "mri",
            "description": "a fake sample",
        }

    def build_sample_bank(self, arguments, call):
        return self.build_bank({**arguments, "volumes": []}, call)

    def segment(self, arguments, call):
        if "damaged" in arguments["bank"]:
            raise BankError(f"{arguments['bank']} is damaged; rebuild it")
        if arguments["model"]["name"] == "vit_h":
            raise CheckpointError("model vit_h is not on this machine")
        voxels = np.nan_to_num(self._volume(arguments), nan=0.0, posinf=0.0)
        if self.regions[arguments["volume"]] is not None:
            voxels = np.where(self.regions[arguments["volume"]] > 0, voxels, 50.0)
        for _words, normal in self.taught:
            voxels = np.where(normal > 0, 50.0, voxels)
        labels, slices = np.zeros(voxels.shape, np.uint16), []
        if IS_DEAF:
            re.match(r"(a+)+$", "a" * 60 + "b")  # takes ages in one call, during which no other thread runs
        for index in range(len(voxels)):
            time.sleep(SECONDS_PER_SLICE)  # longer than the patience: a library call that hears no cancel
            call.progress("segmenting slices", index + 1, len(voxels))
            slices.append(self._slice(voxels[index], labels[index], index, arguments.get("options", {})))
            self.encoded[arguments["volume"]].add(index)
        n_lesions = int(labels.max())
        heat = np.maximum(voxels - 100.0, 0).astype(np.float32) / 20
        return {
            "slice_axis": 2,
            "n_slices": len(voxels),
            "n_lesions": n_lesions,
            "heat_unit": "fake units",
            "slices": slices,
            "run": {"preset": "fake", "options": arguments.get("options", {})},
            "notes": [],
            "timings_s": {},
            "heat": call.save("heat", heat),
            "labels": call.save("labels", labels),
            "device": "cpu",
            "n_encoded": len(self.encoded[arguments["volume"]]),
        }

    def _slice(self, pixels, labels, index, options):
        findings = []
        half = pixels.shape[1] // 2
        for lesion, columns in ((1, slice(0, half)), (2, slice(half, None))):
            part = np.zeros(pixels.shape, bool)
            part[:, columns] = pixels[:, columns] > THRESHOLD + 55 * (options.get("mask") == "1")
            if part.any():
                labels[part] = lesion
                y, x = np.argwhere(part).mean(0)
                findings.append(
                    {
                        "lesion": lesion,
                        "cog_ijk": [float(x), float(y), float(index)],
                        "score": float(pixels[part].max() / 20),
                        "predicted_iou": 0.9,
                        "area_mm2": float(part.sum()),
                        "mask_index": "3",
                        "prompt": "cog",
                        "why": [],
                    }
                )
        return {
            "index": index,
            "image_score": float(pixels.max() / 20),
            "tail_probability": None,
            "note": "",
            "findings": findings,
        }

    def redecode(self, arguments, call):
        voxels, index = self._volume(arguments), arguments["slice"]
        mask = np.zeros((1, *voxels.shape[1:]), np.uint8)
        box = arguments.get("box_ijk")
        if box is not None:  # what is bright in the box
            (i0, j0, _), (i1, j1, _) = [[round(value) for value in corner] for corner in box]
            mask[0, j0 : j1 + 1, i0 : i1 + 1] = voxels[index, j0 : j1 + 1, i0 : i1 + 1] > THRESHOLD
        for wanted in (1, 0):
            for (i, j, _), label in zip(arguments["points_ijk"], arguments["labels"]):
                if label == wanted:
                    rows = slice(max(0, round(j) - HALF_SIDE), round(j) + HALF_SIDE + 1)
                    mask[0, rows, max(0, round(i) - HALF_SIDE) : round(i) + HALF_SIDE + 1] = wanted
        self.encoded[arguments["volume"]].add(index)
        return {
            "slice": index,
            "slice_axis": 2,
            "mask": call.save("mask", mask),
            "lesion": 1,
            "score": 9.0,
            "predicted_iou": 0.8,
            "area_mm2": float(mask.sum()),
            "mask_index": "3",
            "prompt": "user",
            "why": [],
            "cog_ijk": arguments["points_ijk"][0] if box is None else np.mean(box, 0).tolist(),
            "n_encoded": len(self.encoded[arguments["volume"]]),
        }

    def build_bank(self, arguments, call):
        leftOut = {}
        for number, volume in enumerate(arguments["volumes"], 1):
            shape = call.load(volume["array"]).shape
            marked = call.load(volume["exclude_mask"]) if volume.get("exclude_mask") else np.zeros(shape, np.uint8)
            assert marked.shape == shape
            leftOut[volume["name"]] = np.flatnonzero(marked.any((1, 2))).tolist()
            call.progress(f"encoding {volume['name']}", number, len(arguments["volumes"]))
        folder = Path(arguments["output"])
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"left_out": leftOut}))
        return {"path": str(folder), **self.bank_info({"path": str(folder)}, call)}

    def teach_normal(self, arguments, call):
        self._volume(arguments)
        self.taught.append((arguments["words"], call.load(arguments["normal"])))
        return self._writeLessons(arguments["bank"])

    def unteach(self, arguments, call):
        if not self.taught:
            raise BankError("it was taught nothing")
        self.taught.pop()
        return self._writeLessons(arguments["bank"])

    def _writeLessons(self, bank):
        lessons = {
            str(n): {"words": words, "source": "Patient", "by": "me"} for n, (words, _) in enumerate(self.taught)
        }
        (Path(bank) / "taught.json").write_text(json.dumps({"lessons": lessons}))
        return {}

    def import_bank(self, arguments, call):
        if "damaged" in arguments["archive"]:
            raise BankError(f"{arguments['archive']} is damaged; get it again")
        folder = Path(arguments["path"])
        folder.mkdir(parents=True, exist_ok=bool(arguments.get("overwrite")))
        (folder / "manifest.json").write_text("{}")
        return {"path": str(folder), **self.bank_info({"path": str(folder)}, call), "notes": ["from a friend"]}

    def bank_info(self, arguments, call):
        if not Path(arguments["path"]).is_dir():
            raise BankError(f"{arguments['path']} is not a memory bank folder; give a folder made by a build")
        return {
            "model": "embedded",
            "model_digest": "f" * 64,
            "preset": "refined",
            "modality": "mri",
            "anatomy": "brain",
            "slice_axis": "auto",
            "n_slices": 12,
            "n_patches": {"embedding": 12000},
            "sources": ["normal"],
            "calibrated": True,
            "damage": [],
        }

    def fetch_model(self, arguments, call):
        if "FAKE_WORKER_MODEL" in os.environ:
            return {"path": os.environ["FAKE_WORKER_MODEL"]}
        raise InputError("the fake worker has no network")

    def list_models(self, arguments, call):
        return {"models": [], "folder": "/models"}

    def remove_models(self, arguments, call):
        return {"removed": [], "freed_bytes": 0}

    def _volume(self, arguments):
        if arguments["volume"] not in self.volumes:
            raise InputError(f"volume '{arguments['volume']}' is not open in the worker; send it again")
        return self.volumes[arguments["volume"]]


if __name__ == "__main__":
    serve(FakeEngine().verbs(), Channel.on_standard_streams(Path(sys.argv[2])), {"protocol": PROTOCOL_VERSION})
