"""Running out of memory costs speed, not the run: half the batch, then the CPU, each step told."""

import numpy as np
import pytest
import torch
from MIASSAMLib.errors import MiassamError, UsageError
from MIASSAMLib.protocols import Prompts
from MIASSAMLib.sam import load_model
from MIASSAMLib.sam.device import MemoryLadder, is_out_of_memory


class SmallGpu:
    """A model whose GPU holds `room` items at once and whose CPU holds `cpu_room`."""

    name = "small"

    def __init__(self, room: int, cpu_room: int = 100) -> None:
        self.device, self.rooms, self.batches = "gpu", {"gpu": room, "cpu": cpu_room}, []

    def move_to(self, device: str) -> None:
        self.device = device

    def work(self, some: slice) -> list[int]:
        if some.stop - some.start > self.rooms[self.device]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        self.batches.append(some.stop - some.start)
        return list(range(100))[some]


def test_batch_is_halved_until_it_fits_and_stays_so() -> None:
    model, notices = SmallGpu(room=2), []
    ladder = MemoryLadder(model, "slices", notices.append)
    assert sum(ladder.run(8, model.work), []) == list(range(8))
    assert model.batches == [2, 2, 2, 2] and ladder.largest_batch == 2 and len(notices) == 2
    ladder.run(7, model.work)
    assert model.batches[4:] == [2, 2, 2, 1] and len(notices) == 2


def test_cpu_takes_over_when_not_even_one_item_fits() -> None:
    model, notices = SmallGpu(room=0), []
    assert sum(MemoryLadder(model, "slices", notices.append).run(8, model.work), []) == list(range(8))
    assert model.device == "cpu" and "the CPU goes on" in notices[-1]


def test_one_item_too_many_for_everything_is_told() -> None:
    model = SmallGpu(room=0, cpu_room=0)
    with pytest.raises(MiassamError, match="smaller model"):
        MemoryLadder(model, "slices", lambda text: None).run(1, model.work)


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))


RASTERS = np.random.default_rng(0).random((4, 256, 256), np.float32)


@pytest.fixture
def model():
    return load_model("embedded", None, "cpu")


def fail_above(work, room, count):
    """Return work that runs out of memory when count(its arguments) is over room."""

    def limited(*arguments):
        if count(*arguments) > room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return work(*arguments)

    return limited


def test_model_that_runs_out_of_memory_encodes_in_smaller_batches(model, monkeypatch, caplog) -> None:
    expected = model.encode(RASTERS)
    monkeypatch.setattr(model, "encode_batch", fail_above(model.encode_batch, 1, lambda rasters, boxes: len(rasters)))
    torch.testing.assert_close(model.encode(RASTERS), expected, atol=1e-4, rtol=1e-4)
    assert "ran out of memory with 4 slices; going on with 2" in caplog.text


def test_model_that_runs_out_of_memory_decodes_in_smaller_batches(model, monkeypatch, caplog) -> None:
    embedding = model.encode(RASTERS[:1])[0]
    prompts = Prompts(
        np.random.default_rng(1).uniform(0, 1023, (5, 2, 2)).astype(np.float32), np.ones((5, 2), np.int64)
    )
    expected = model.decode(embedding, prompts)
    limited = fail_above(model.decode_batch, 3, lambda embedding, prompts, some: some.stop - some.start)
    monkeypatch.setattr(model, "decode_batch", limited)
    found = model.decode(embedding, prompts)
    np.testing.assert_array_equal(found.low_res_logits, expected.low_res_logits)
    assert "prompts" in caplog.text and found.predicted_iou.shape == (5, 3)


def test_moved_model_goes_on_with_embeddings_it_made_before(model) -> None:
    embedding = model.encode(RASTERS[:1])[0]
    model.move_to("cpu")
    assert model.device == "cpu"
    model.decode(embedding, Prompts(np.zeros((1, 1, 2), np.float32), np.ones((1, 1), np.int64)))


@pytest.mark.parametrize("shape", [(0, 256, 256), (1, 128, 128), (256, 256)])
def test_rasters_of_another_shape_are_refused(model, shape) -> None:
    with pytest.raises(UsageError, match="takes grey rasters"):
        model.encode(np.zeros(shape, np.float32))
