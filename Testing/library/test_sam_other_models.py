"""MobileSAM, MedSAM and MedicoSAM load from files as their own packages write them; strangers are refused by name."""

import logging
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.errors import CheckpointError
from MIASSAMLib.protocols import Prompts
from MIASSAMLib.sam import MODEL_NAMES, load_model, registry
from MIASSAMLib.sam.acceleration import accelerate_convolutions, embedding_cosine, probe_raster
from MIASSAMLib.sam.device import RunOptions
from MIASSAMLib.sam.models import CheckpointModel
from MIASSAMLib.sam.state_dict import read_state_dict

PLAIN, FAST = RunOptions(precision="float32", accelerate=False), RunOptions(precision="float32")


@pytest.fixture(scope="module")
def mobile_sam():
    """MobileSAM by its own package, every number random: norms and biases, too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from mobile_sam import sam_model_registry
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sam = sam_model_registry["vit_t"]()
    for key, tensor in sam.state_dict().items():
        if key.endswith(("running_var", "bn.weight")):
            tensor.uniform_(0.5, 1.5, generator=generator)
        elif key.endswith(("running_mean", "bias", "attention_biases")):
            tensor.normal_(0, 0.2, generator=generator)
    return sam.train().eval()  # its biases are laid out when the mode changes


@pytest.fixture(scope="module")
def mobile_sam_file(mobile_sam, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("checkpoints") / "own_mobile_sam.pt"
    torch.save(mobile_sam.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def mobile_sam_embedding(mobile_sam) -> torch.Tensor:
    with torch.no_grad():
        return mobile_sam.image_encoder(mobile_sam.preprocess(torch.from_numpy(probe_raster(1024))[None] * 255))


@pytest.mark.parametrize(("name", "options", "tolerance"), [("auto", PLAIN, 2e-5), ("vit_t", FAST, 5e-5)])
def test_mobile_sam_gives_the_embedding_of_its_own_package(
    mobile_sam_file, mobile_sam_embedding, name, options, tolerance
) -> None:
    model = load_model(name, mobile_sam_file, "cpu", options)
    assert model.name == "vit_t" and model.input_px == 1024 and mobile_sam_embedding.std() > 0.5
    difference = (model.encode(probe_raster(1024)) - mobile_sam_embedding).abs().max()
    assert difference < tolerance, f"max abs difference {difference}"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mobile_sam_in_reduced_precision_stays_close(mobile_sam_file, dtype) -> None:
    encoder = load_model("vit_t", mobile_sam_file, "cpu", PLAIN).sam.image_encoder
    images = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = encoder(images)
        accelerate_convolutions(encoder, dtype)
        assert embedding_cosine(encoder(images), expected) > 0.999


def test_mobile_sam_decodes_as_its_own_package(mobile_sam, mobile_sam_file, mobile_sam_embedding) -> None:
    model = load_model("vit_t", mobile_sam_file, "cpu", PLAIN)
    with torch.no_grad():
        sparse, dense = mobile_sam.prompt_encoder((torch.tensor([[[500.0, 480.0]]]), torch.tensor([[1]])), None, None)
        arguments = {"image_pe": mobile_sam.prompt_encoder.get_dense_pe(), "multimask_output": True}
        logits, iou = mobile_sam.mask_decoder(
            mobile_sam_embedding, sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, **arguments
        )
    prompts = Prompts(np.array([[[500.0, 480.0]]], np.float32), np.array([[1]]))
    decoded = model.decode(mobile_sam_embedding[0], prompts)
    np.testing.assert_allclose(decoded.low_res_logits, logits, atol=1e-4)
    np.testing.assert_allclose(decoded.predicted_iou, iou, atol=1e-4)


def test_mobile_sam_file_lacking_a_key_is_refused_by_name(mobile_sam, tmp_path) -> None:
    state = mobile_sam.state_dict()
    del state["image_encoder.layers.2.blocks.3.attn.attention_biases"]
    state["image_encoder.extra.weight"] = torch.zeros(1)
    torch.save(state, tmp_path / "short.pt")
    with pytest.raises(CheckpointError, match=r"lacks 1: .*layers\.2\.blocks\.3.*unknown 1: image_encoder\.extra"):
        load_model("vit_t", tmp_path / "short.pt", "cpu")


WRAPPINGS = {
    "bare": lambda state: state,
    "MedSAM while training": lambda state: {"model": state, "optimizer": {"state": {}}, "epoch": 3},
    "MedicoSAM while training": lambda state: {"model_state": _prefixed(state, "sam."), "iteration": 10},
    "several cards": lambda state: {"model_state_dict": _prefixed(state, "module.sam.")},
    "Lightning": lambda state: {"state_dict": _prefixed(state, "model."), "pytorch-lightning_version": "2"},
}


def _prefixed(state, prefix):
    return {prefix + key: tensor for key, tensor in state.items()}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_usual_wrappings_are_taken_off_and_named(wrapping, tmp_path, caplog) -> None:
    state = {"image_encoder.a": torch.ones(2), "mask_decoder.b": torch.zeros(1)}
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "own.pth")
    with caplog.at_level(logging.INFO, "MIASSAMLib"):
        assert set(read_state_dict(tmp_path / "own.pth")) == set(state)
    assert ("own.pth" in caplog.text) == (wrapping != "bare")


def test_dict_without_a_state_dict_says_what_it_holds(tmp_path) -> None:
    torch.save({"weights": {"a": torch.ones(1)}, "epoch": 3}, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"a dict with weights, epoch.*model_state_dict"):
        read_state_dict(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
        ("image_encoder.trunk.patch_embed.proj.weight", "SAM 2"),
        ("vision_encoder.patch_embed.projection.weight", "SAM as the transformers"),
    ],
)
def test_format_that_would_decode_with_weights_missing_is_refused_with_the_reason(key, words, tmp_path) -> None:
    torch.save({key: torch.ones(1), "mask_decoder.iou_token.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=rf"other\.pth is a checkpoint of {words}.*{key}.*refused"):
        load_model("vit_b", tmp_path / "other.pth", "cpu")


def test_medsam_gets_grey_values_as_it_was_trained(mobile_sam) -> None:
    """MedSAM's own inference gives the encoder the image from 0 to 1, without SAM's mean and deviation."""
    model = CheckpointModel(mobile_sam, "medsam", "0", torch.device("cpu"))
    raster = probe_raster(1024)
    assert not np.array_equal(model.normalized_images(raster)[0, 0], raster[0])
    model.takes_unit_range = registry.MODELS["medsam"].takes_unit_range
    images = model.normalized_images(raster, np.array([[128, 0, 768, 1024]]))
    inside = raster[0] * (np.arange(1024)[:, None] // 128 % 7 > 0)
    np.testing.assert_array_equal(images[0, 2], inside)


def test_medsam_without_its_file_says_where_to_get_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(CheckpointError, match=r"github\.com/bowang-lab/MedSAM.*--checkpoint"):
        load_model("medsam", None, "cpu")


def test_model_by_file_is_taken_from_the_cache_folder_and_keeps_its_name(
    mobile_sam_file, tmp_path, monkeypatch
) -> None:
    entry = replace(registry.MODELS["medsam"], architecture="vit_t", file_name="medsam.pth")
    monkeypatch.setitem(registry.MODELS, "medsam", entry)
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "medsam.pth").symlink_to(mobile_sam_file)
    model = load_model("medsam", None, "cpu", PLAIN)
    assert model.name == "medsam" and model.takes_unit_range


def test_table_of_models_is_complete() -> None:
    assert MODEL_NAMES == ("embedded", "vit_t", "vit_b", "vit_l", "vit_h", "medsam", "medicosam", "auto")
    for entry in registry.downloadable():
        assert entry.url.startswith("https://") and entry.url.endswith(entry.file_name) and entry.n_bytes > 1e7
    assert all(entry.words for entry in registry.MODELS.values())


@pytest.mark.parametrize("name", ["embedded", "vit_t"])
def test_batches_of_slices_and_prompts_give_what_single_ones_give(name, mobile_sam_file) -> None:
    model = load_model(name, None if name == "embedded" else mobile_sam_file, "cpu", FAST)
    raster = probe_raster(model.input_px)
    rasters = np.concatenate([raster, raster[:, ::-1]])
    together = model.encode(rasters)
    for row in range(len(rasters)):
        torch.testing.assert_close(together[row : row + 1], model.encode(rasters[row : row + 1]), atol=2e-5, rtol=1e-4)
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 1023, (5, 3, 2)).astype(np.float32)
    labels = np.array([[1, 0, -1], [1, 1, 0], [1, -1, -1], [0, 1, 1], [1, 1, 1]])
    boxes = np.sort(generator.uniform(0, 1023, (5, 2, 2)), 1).reshape(5, 4).astype(np.float32)
    masks = generator.normal(0, 4, (5, 256, 256)).astype(np.float32)
    many = model.decode(together[0], Prompts(points, labels, boxes, masks))
    for row in range(5):
        some = slice(row, row + 1)
        one = model.decode(together[0], Prompts(points[some], labels[some], boxes[some], masks[some]))
        np.testing.assert_allclose(many.low_res_logits[some], one.low_res_logits, atol=1e-4)
        np.testing.assert_allclose(many.predicted_iou[some], one.predicted_iou, atol=1e-5)
