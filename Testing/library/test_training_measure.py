"""The measuring command measures what it says, on small volumes whose answer is known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.method import PreparedVolume, Preprocessing
from MIASSAMLib.sam.embedded import load_embedded
from MIASSAMLib.volume import Volume

from training.bank_features import auroc, measure_features
from training.real_clicks import ClickScores, RealCase, dice, interior_click, join, measure_clicks, random_clicks
from training.speed import measure_speed


def made_up_case(seed: int, n_slices: int = 9, side_px: int = 96) -> RealCase:
    """A textured ball of tissue with a bright ball in some slices, storage order K, J, I."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:side_px, 0:side_px]
    organ = np.hypot(columns - side_px / 2, rows - side_px / 2) < side_px * 0.42
    place = side_px / 2 + rng.uniform(-12, 12, 2)
    lesion = np.zeros((n_slices, side_px, side_px), bool)
    lesion[n_slices // 2 :: 2] = np.hypot(columns - place[0], rows - place[1]) < side_px * 0.1
    voxels = organ * (100 + rng.normal(0, 4, lesion.shape) + 110 * lesion)
    volume = Volume(voxels.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0]), f"made up {seed}", "mri", "", ())
    prepared = PreparedVolume.of(volume, Preprocessing(axis="axial"))
    return RealCase(volume.name, prepared, lesion, np.broadcast_to(organ, lesion.shape))


def test_dice_counts_overlap_and_agrees_that_two_empty_masks_are_equal() -> None:
    half = np.array([[True, True, False, False]])
    assert dice(half, ~half) == 0
    assert dice(half, np.array([[True, False, False, False]])) == pytest.approx(2 / 3)
    assert dice(half & ~half, half & ~half) == 1


def test_interior_click_is_the_deepest_pixel_even_at_the_image_border() -> None:
    mask = np.zeros((40, 60), bool)
    mask[0:21, 10:31] = True
    assert interior_click(mask).tolist() == [20, 10]


def test_random_clicks_lie_inside_and_differ() -> None:
    mask = np.zeros((40, 60), bool)
    mask[5:9, 40:58] = True
    clicks = random_clicks(np.random.default_rng(0), mask, 20).astype(int)
    assert mask[clicks[:, 1], clicks[:, 0]].all()
    assert len({tuple(click) for click in clicks}) > 5


def test_scores_tell_third_best_and_trusted_mask_apart() -> None:
    first = ClickScores(np.array([[0.1, 0.9, 0.5]]), np.array([[0.7, 0.2, 0.3]]))
    second = ClickScores(np.array([[0.2, 0.3, 0.7]]), np.array([[0.1, 0.2, 0.9]]))
    table = join([first, second]).table()
    assert table == pytest.approx({"n": 2, "third": 0.6, "best": 0.8, "chosen_by_iou": 0.4})


def test_auroc_of_separated_mixed_and_equal_scores() -> None:
    low, high = np.arange(5, dtype=np.float32), np.arange(5, 9, dtype=np.float32)
    assert auroc(high, low) == 1 and auroc(low, high) == 0
    assert auroc(low, low) == pytest.approx(0.5)


def test_clicks_in_a_bright_ball_are_scored_high() -> None:
    case = made_up_case(0)
    assert len(case.slices()) == 3
    scores = measure_clicks(load_embedded(), case, step=1, seed=0)
    assert scores["interior"].dice.shape == (3, 3) and scores["random"].dice.shape == (9, 3)
    assert scores["interior"].table()["third"] > 0.8


def test_features_find_the_bright_ball_when_one_patient_is_left_out() -> None:
    cases = [made_up_case(seed) for seed in range(3)]
    found = measure_features(load_embedded(), cases, step=3)
    assert found["intensity"]["auroc_in_organ"] > 0.95
    assert found["intensity"]["cog_in_lesion_gamma_5"] == 1
    assert set(found) == {"embedding", "intensity", "sum", "intensity + 0.25 embedding", "maximum"}


def test_speed_reports_size_of_the_file_and_the_network(tmp_path: Path) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"0" * 2_000_000)
    model = load_embedded()
    found = measure_speed(model, weights, repeats=1)
    assert found["megabytes"] == 2 and found["parameters"] == sum(p.numel() for p in model.parameters())
    assert found["encoder_s"] > 0 and found["decoder_s"] > 0 and found["threads"] == torch.get_num_threads()
