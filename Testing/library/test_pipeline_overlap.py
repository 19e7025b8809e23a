"""Stages overlap within bounds, in order."""

import threading
import time

import pytest
from MIASSAMLib.method.overlap import ahead, in_chunks


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
