"""Stages overlap within bounds, in order; running out of memory costs speed, not the run."""

import threading
import time

import numpy as np
import pytest
import torch
from MIASSAMLib.errors import MiassamError
from MIASSAMLib.method.overlap import CarefulEncoder, ahead, in_chunks, is_out_of_memory


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_results_come_in_order(depth) -> None:
    assert list(ahead(range(20), lambda item: item * item, depth)) == [item * item for item in range(20)]


def test_next_item_is_made_while_the_last_is_used() -> None:
    made = []
    results = ahead(range(10), lambda item: made.append(item) or item, depth=2)
    assert next(results) == 0
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2]
    results.close()


def test_two_stages_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=5)
    first = ahead(range(4), lambda item: (meeting.wait(), item)[1] if item == 1 else item, depth=2)
    second = ahead(first, lambda item: (meeting.wait(), item)[1] if item == 0 else item, depth=2)
    assert list(second) == [0, 1, 2, 3]


def test_error_of_a_stage_arrives_in_its_turn_and_ends_the_work() -> None:
    def fail_at_three(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results, seen = ahead(ahead(range(10), fail_at_three), lambda item: item), []
    with pytest.raises(ValueError, match="three"):
        for item in results:
            seen.append(item)
    assert seen == [0, 1, 2]


def test_leaving_early_stops_every_thread() -> None:
    for _ in ahead(ahead(range(1000), lambda item: item), lambda item: item):
        break
    time.sleep(0.05)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("miassam-ahead")]


def test_chunks_keep_every_item() -> None:
    assert list(in_chunks(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]


class SmallGpu:
    """A model whose GPU holds `room` slices at once and whose CPU always works."""

    name, digest, input_px = "small", "0", 4

    def __init__(self, room: int, has_cpu: bool = True) -> None:
        self.device, self.room, self.batches = "meta-gpu", room, []
        if has_cpu:
            self.move_to = lambda device: setattr(self, "device", device)

    def encode(self, rasters, content_boxes=None):
        if self.device != "cpu" and len(rasters) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        assert content_boxes is None or len(content_boxes) == len(rasters)
        self.batches.append(len(rasters))
        return torch.from_numpy(rasters)

    def decode(self, embedding, prompts):
        raise NotImplementedError


@pytest.fixture
def no_transfer(monkeypatch):
    """Devices of the fake exist in name only."""
    monkeypatch.setattr(torch.Tensor, "to", lambda self, *args, **kwargs: self)


RASTERS = np.arange(8 * 16, dtype=np.float32).reshape(8, 4, 4)


def test_batch_is_halved_until_it_fits_and_stays_so(no_transfer) -> None:
    model, notices = SmallGpu(room=2), []
    encoder = CarefulEncoder(model, notices.append)
    assert np.array_equal(encoder.encode(RASTERS, np.zeros((8, 4))).numpy(), RASTERS)
    assert model.batches == [2, 2, 2, 2] and encoder.largest_batch == 2 and len(notices) == 2
    encoder.encode(RASTERS)
    assert model.batches[4:] == [2, 2, 2, 2] and len(notices) == 2


def test_cpu_takes_over_when_not_even_one_slice_fits(no_transfer) -> None:
    model, notices = SmallGpu(room=0), []
    assert np.array_equal(CarefulEncoder(model, notices.append).encode(RASTERS).numpy(), RASTERS)
    assert model.device == "cpu" and "CPU" in notices[-1]


def test_one_slice_too_many_for_everything_is_told(no_transfer) -> None:
    with pytest.raises(MiassamError, match="smaller model"):
        CarefulEncoder(SmallGpu(room=0, has_cpu=False), lambda text: None).encode(RASTERS)


def test_other_errors_are_not_taken_for_missing_memory() -> None:
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
