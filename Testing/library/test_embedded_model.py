"""The shipped weights load, answer prompts as segment_anything does, and are what the card says they are."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.errors import CheckpointError
from MIASSAMLib.files import sha256_of_file
from MIASSAMLib.sam.embedded import CARD_PATH, WEIGHTS_PATH, EmbeddedSam, load_embedded
from segment_anything import SamPredictor


@pytest.fixture(scope="module")
def model() -> EmbeddedSam:
    return load_embedded()


@pytest.fixture(scope="module")
def disk_raster() -> np.ndarray:
    """A dim disk, the organ, with a bright disk of 18 px radius at (150, 120) in it, the lesion."""
    rows, columns = np.mgrid[0:256, 0:256]
    organ = np.hypot(columns - 128, rows - 128) < 90
    lesion = np.hypot(columns - 150, rows - 120) < 18
    noise = np.random.default_rng(0).normal(0, 0.015, (256, 256))
    return np.clip((0.3 * organ + 0.45 * lesion + noise) * organ, 0, 1).astype(np.float32)


@pytest.fixture(scope="module")
def lesion_mask() -> np.ndarray:
    rows, columns = np.mgrid[0:256, 0:256]
    return np.hypot(columns - 150, rows - 120) < 18


def dice(first: np.ndarray, second: np.ndarray) -> float:
    return float(2 * (first & second).sum() / (first.sum() + second.sum()))


def click(x: float, y: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[[4 * x + 1.5, 4 * y + 1.5]]]), torch.tensor([[1]])


def test_card_digest_is_the_digest_of_the_file() -> None:
    assert json.loads(CARD_PATH.read_text())["sha256"] == sha256_of_file(WEIGHTS_PATH)


def test_weights_fit_the_size_the_package_allows(model: EmbeddedSam) -> None:
    n_parameters = sum(parameter.numel() for parameter in model.parameters())
    assert WEIGHTS_PATH.stat().st_size <= 16 * 2**20
    assert n_parameters <= 8_000_000
    assert json.loads(CARD_PATH.read_text())["parameters"] == n_parameters


def test_encode_gives_the_embedding_shape_of_sam(model: EmbeddedSam) -> None:
    assert model.encode(torch.zeros(2, 256, 256)).shape == (2, 256, 64, 64)


def test_encode_refuses_a_raster_of_another_size(model: EmbeddedSam) -> None:
    with pytest.raises(ValueError, match=r"\(1, 128, 128\).*256"):
        model.encode(torch.zeros(1, 128, 128))


def test_click_in_a_bright_disk_outlines_it_in_the_third_mask(
    model: EmbeddedSam, disk_raster: np.ndarray, lesion_mask: np.ndarray
) -> None:
    embedding = model.encode(torch.from_numpy(disk_raster)[None])[0]
    logits, iou = model.decode(embedding, *click(150, 120))
    assert logits.shape == (1, 3, 256, 256) and iou.shape == (1, 3)
    assert dice(logits[0, 2].numpy() > 0, lesion_mask) > 0.85
    assert (logits[0, 0] > 0).sum() > 3 * (logits[0, 2] > 0).sum()


def test_click_elsewhere_does_not_outline_the_disk(
    model: EmbeddedSam, disk_raster: np.ndarray, lesion_mask: np.ndarray
) -> None:
    embedding = model.encode(torch.from_numpy(disk_raster)[None])[0]
    logits, _ = model.decode(embedding, *click(70, 150))
    assert dice(logits[0, 2].numpy() > 0, lesion_mask) < 0.3


@pytest.mark.parametrize("with_box", [False, True])
@pytest.mark.parametrize("with_mask", [False, True])
def test_fast_decoder_equals_the_stock_decoder(model: EmbeddedSam, with_box: bool, with_mask: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    embedding = model.encode(torch.rand(1, 256, 256, generator=generator))
    points = torch.rand(2, 3, 2, generator=generator) * 1024, torch.tensor([[1, 0, -1], [1, 1, 0]])
    boxes = torch.tensor([[100.0, 120, 400, 500], [300, 10, 900, 640]]) if with_box else None
    masks = torch.randn(2, 256, 256, generator=generator) if with_mask else None
    with torch.no_grad():
        sparse, dense = model.prompt_encoder(points, boxes, None if masks is None else masks[:, None])
        image_pe = model.prompt_encoder.get_dense_pe()
        stock_logits, stock_iou = model.mask_decoder(embedding, image_pe, sparse, dense, multimask_output=True)
    logits, iou = model.decode(embedding[0], *points, boxes, masks)
    torch.testing.assert_close(logits, stock_logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(iou, stock_iou, atol=1e-4, rtol=1e-4)


def test_padding_points_change_nothing(model: EmbeddedSam) -> None:
    embedding = model.encode(torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(1)))[0]
    boxes = torch.tensor([[100.0, 120, 400, 500]])
    point = torch.tensor([[[200.0, 300.0]]])
    once, _ = model.prompt_encoder((point, torch.tensor([[1]])), boxes, None)
    moved = torch.cat([point, torch.tensor([[[900.0, 900.0]]])], 1), torch.tensor([[1, -1]])
    still = torch.cat([point, torch.zeros(1, 1, 2)], 1), torch.tensor([[1, -1]])
    assert once.shape[1] == 3
    assert torch.equal(model.decode(embedding, *moved, boxes)[0], model.decode(embedding, *still, boxes)[0])


def test_predictor_of_segment_anything_works_with_the_model(
    model: EmbeddedSam, disk_raster: np.ndarray, lesion_mask: np.ndarray
) -> None:
    predictor = SamPredictor(model)
    predictor.set_image(np.repeat((disk_raster * 255).astype(np.uint8)[..., None], 3, 2))
    masks, iou, low_res = predictor.predict(np.array([[150.0, 120.0]]), np.array([1]), multimask_output=True)
    assert masks.shape == (3, 256, 256) and iou.shape == (3,) and low_res.shape == (3, 256, 256)
    assert dice(masks[2], lesion_mask) > 0.85


def test_predictor_treats_the_padding_of_a_wide_image_as_black(model: EmbeddedSam) -> None:
    wide = np.zeros((512, 1024, 3), np.uint8)
    wide[160:360, 240:720] = 150
    predictor = SamPredictor(model)
    predictor.set_image(wide)
    square = torch.zeros(1, 256, 256)
    square[0, 40:90, 60:180] = 150 / 255
    torch.testing.assert_close(predictor.get_image_embedding(), model.encode(square), atol=1e-3, rtol=1e-3)


def test_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.pt is not there"):
        load_embedded(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("content", "words"), [("state", "does not fit the embedded model"), ("text", "could run code")]
)
def test_checkpoint_of_another_kind_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "other.pt"
    if content == "state":
        torch.save({"weight": torch.zeros(3)}, path)
    else:
        path.write_text("not a checkpoint")
    with pytest.raises(CheckpointError, match=words):
        load_embedded(path)
