"""The worker's own promises: it ends with Slicer, protects its pipe, and gives way when memory is short."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .conftest import FAKE_WORKER, MODULE_FOLDER


def start(folder, program=None):
    command = program or [sys.executable, "-u", str(FAKE_WORKER), str(MODULE_FOLDER), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def ask(process, verb, number=1, **arguments):
    from MIASSAMLib.worker import encode

    process.stdin.write(encode({"id": number, "verb": verb, "arguments": arguments}))
    process.stdin.flush()


def answers(process, count):
    from MIASSAMLib.worker import decode

    return [decode(process.stdout.readline()) for _ in range(count)]


def test_the_worker_ends_when_slicer_is_gone(tmp_path, monkeypatch):
    """Even in the middle of a step that hears nothing, and it removes the exchange folder."""
    monkeypatch.setenv("FAKE_WORKER_SECONDS", "300")
    folder = tmp_path / "exchange"
    folder.mkdir()
    np.save(folder / "volume.npy", np.zeros((3, 4, 5), np.float32))
    process = start(folder)
    ask(process, "open_volume", key="a", array="volume.npy", ijk_to_ras=np.eye(4).tolist())
    ask(process, "segment", 2, volume="a", bank="b")
    assert [answer["kind"] for answer in answers(process, 2)] == ["ready", "result"]
    process.stdin.close()
    assert process.wait(timeout=100) == 0, "it ends itself, long before the segmentation would be done"
    assert not folder.exists()


def test_the_real_worker_answers_before_torch_is_loaded(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); from MIASSAMLib.worker.__main__ import main; main(sys.argv[2:])"
    )
    process = start(tmp_path, [sys.executable, "-u", "-c", program, str(MODULE_FOLDER), str(tmp_path)])
    ready = answers(process, 1)[0]
    maps = Path(f"/proc/{process.pid}/maps")
    loaded = maps.read_text() if maps.exists() else ""
    process.stdin.close()
    process.wait(timeout=100)
    assert ready == {"kind": "ready", "protocol": 1}
    assert "libtorch" not in loaded and "faiss" not in loaded


def test_what_a_library_prints_does_not_break_the_protocol():
    from MIASSAMLib.worker import LineBuffer

    buffer = LineBuffer()
    assert buffer.feed(b'Downloading...\n{"id":1,"ki') == []
    assert buffer.feed(b'nd":"result"}\n\n[1]\n') == [{"id": 1, "kind": "result"}]


def test_what_the_library_warns_of_reaches_the_user(tmp_path):
    """Memory that ran out is told in the panel's log, from whichever room it comes."""
    import logging

    from MIASSAMLib.worker.server import answer

    class Told:
        def __init__(self):
            self.lines, self.answers = [], []

        def log(self, text):
            self.lines.append(text)

        def finish(self, kind, **fields):
            self.answers.append((kind, fields))

    call, logger = Told(), logging.getLogger("MIASSAMLib.sam.device")
    verbs = {"work": lambda arguments, call: logger.warning("going on with the CPU") or {}}
    answer(verbs, {"verb": "work"}, call)
    logger.warning("after the request")
    assert call.lines == ["going on with the CPU"] and call.answers == [("result", {"value": {}})]


def test_arrays_stay_in_the_exchange_folder(tmp_path):
    from MIASSAMLib.errors import InputError
    from MIASSAMLib.worker.channel import load_array, save_array

    folder = tmp_path / "exchange"
    folder.mkdir()
    save_array(tmp_path, "outside", np.zeros(3))
    with pytest.raises(InputError, match="not a file name"):
        load_array(folder, "../outside.npy")
    np.save(folder / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="cannot be read"):
        load_array(folder, "objects.npy")
    assert load_array(folder, save_array(folder, "mask", np.eye(2))).tolist() == [[1, 0], [0, 1]]


def test_a_missing_package_is_named():
    from MIASSAMLib.errors import MiassamError
    from MIASSAMLib.worker.verbs import _naming_what_is_missing

    def verb(arguments, call):
        raise ModuleNotFoundError("No module named 'faiss'", name="faiss")

    with pytest.raises(MiassamError, match="faiss-cpu is not installed"):
        _naming_what_is_missing(verb)({}, None)


def test_numbers_that_json_does_not_know_become_none():
    from MIASSAMLib.worker.answers import jsonable

    assert jsonable({"a": np.float32("nan"), "b": (np.int64(3), float("inf"))}) == {"a": None, "b": [3, None]}


def test_embeddings_that_spill_to_disk_go_with_the_exchange_folder(tmp_path):
    import torch
    from MIASSAMLib.worker.engine import Engine

    engine = Engine(tmp_path)
    embeddings = engine._embeddings
    assert embeddings._folder == tmp_path, "it lies in the folder that is removed at the end"
    embeddings.put("volume", 0, torch.ones(embeddings._shape))
    assert embeddings._file is not None and torch.equal(embeddings.get("volume", 0), torch.ones(embeddings._shape))


def test_deleting_models_frees_their_folder(tmp_path, monkeypatch):
    from MIASSAMLib.sam import registry
    from MIASSAMLib.worker.verbs import list_models, remove_models

    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    path = registry.checkpoint_path(registry.find_downloadable("vit_b"))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 1000)
    assert [each["name"] for each in list_models({}, None)["models"] if each["is_here"]] == ["embedded", "vit_b"]
    assert remove_models({}, None) == {"removed": ["vit_b"], "freed_bytes": 1000}
    assert not path.exists()
