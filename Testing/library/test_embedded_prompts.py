"""Clicks, boxes, corrections and earlier logits each help the shipped weights, on scenes they were not trained on."""

import pytest
from MIASSAMLib.sam.embedded import load_embedded

from training.validation import validate, validation_batches


@pytest.fixture(scope="module")
def found() -> dict[str, float]:
    """Mean IoU with the lesion on twenty hard scenes; on ten, chance hides what earlier logits add."""
    return validate(load_embedded(), validation_batches(20, per_batch=2), with_rounds=True)


def test_a_single_click_finds_hard_lesions(found: dict[str, float]) -> None:
    assert found["n_lesions"] >= 40
    assert found["lesion_third"] > 0.5


def test_the_mask_trusted_most_is_about_as_good_as_the_third(found: dict[str, float]) -> None:
    assert found["lesion_chosen"] > found["lesion_third"] - 0.05


def test_a_box_helps(found: dict[str, float]) -> None:
    assert found["lesion_box"] > found["lesion_third"] + 0.08


def test_a_corrective_click_helps(found: dict[str, float]) -> None:
    assert found["lesion_second_click"] > found["lesion_third"] + 0.03


def test_earlier_logits_help_a_corrective_click(found: dict[str, float]) -> None:
    assert found["lesion_second_click_and_logits"] > found["lesion_second_click"]
