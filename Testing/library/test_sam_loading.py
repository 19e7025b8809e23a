"""Checkpoints are accepted and refused by name, digest, keys and shapes; a ViT-B runs one real slice."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from MIASSAMLib.errors import CheckpointError, UsageError
from MIASSAMLib.files import sha256_of_file
from MIASSAMLib.protocols import Prompts
from MIASSAMLib.sam import load_model, registry
from MIASSAMLib.sam.device import RunOptions
from MIASSAMLib.sam.state_dict import deduce_architecture, read_state_dict

POINT = Prompts(np.array([[[500.0, 480.0]]], np.float32), np.array([[1]]))
FAST = RunOptions(precision="float32")  # bfloat16 without units for it takes minutes


@pytest.fixture(scope="module")
def random_vit_b(tmp_path_factory) -> Path:
    """A randomly initialized ViT-B checkpoint, relative positions included (they start at zero otherwise)."""
    from segment_anything import sam_model_registry

    torch.manual_seed(0)
    state = sam_model_registry["vit_b"]().state_dict()
    for key, tensor in state.items():
        if "rel_pos" in key or "pos_embed" in key:
            tensor.normal_(0, 0.02)
    path = tmp_path_factory.mktemp("checkpoints") / "random_vit_b.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def raster() -> np.ndarray:
    rows, columns = np.mgrid[0:1024, 0:1024]
    raster = 0.3 * (np.hypot(columns - 512, rows - 512) < 400) + 0.5 * (np.hypot(columns - 500, rows - 480) < 80)
    raster[:128] = raster[896:] = 0
    return raster.astype(np.float32)


def test_vit_b_checkpoint_takes_one_slice_to_three_masks(random_vit_b, raster) -> None:
    model = load_model("vit_b", random_vit_b, "cpu", FAST)
    embeddings = model.encode(raster[None], np.array([[128, 0, 768, 1024]]))
    decoded = model.decode(embeddings[0], POINT)
    assert (model.name, model.input_px, model.digest) == ("vit_b", 1024, sha256_of_file(random_vit_b))
    assert embeddings.shape == (1, 256, 64, 64) and embeddings.dtype == torch.float32
    assert decoded.low_res_logits.shape == (1, 3, 256, 256) and decoded.predicted_iou.shape == (1, 3)
    assert np.isfinite(decoded.low_res_logits).all() and decoded.low_res_logits.std() > 0


def test_normalized_images_are_those_of_sam_preprocess_with_black_padding_last(random_vit_b, raster) -> None:
    model = load_model("vit_b", random_vit_b, "cpu", FAST)
    content = torch.from_numpy(raster[:768]).expand(3, -1, -1) * 255
    expected = model.sam.preprocess(content)
    images = model.normalized_images(np.concatenate([raster[:768], 0 * raster[:256]])[None], [[0, 0, 768, 1024]])
    torch.testing.assert_close(images[0], expected)


def test_architecture_is_deduced_from_the_file(random_vit_b) -> None:
    assert deduce_architecture(read_state_dict(random_vit_b), random_vit_b.name) == "vit_b"
    assert load_model("auto", random_vit_b, "cpu", FAST).name == "vit_b"


def test_checkpoint_of_another_architecture_is_refused_naming_keys(random_vit_b) -> None:
    with pytest.raises(CheckpointError, match=r"does not fit vit_l.*image_encoder.*instead of"):
        load_model("vit_l", random_vit_b, "cpu")


def test_missing_and_unknown_keys_are_named(random_vit_b, tmp_path) -> None:
    state = read_state_dict(random_vit_b)
    state["surplus.weight"] = state.pop("mask_decoder.iou_token.weight")
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"lacks 1: mask_decoder.iou_token.weight.*unknown 1: surplus.weight"):
        load_model("vit_b", tmp_path / "odd.pth", "cpu")


def test_wrapped_and_prefixed_state_dict_is_understood(tmp_path) -> None:
    torch.save({"model": {"module.a": torch.ones(2), "module.b": torch.zeros(1)}}, tmp_path / "wrapped.pth")
    assert set(read_state_dict(tmp_path / "wrapped.pth")) == {"a", "b"}


def test_file_that_would_run_code_is_refused(tmp_path) -> None:
    torch.save({"weight": torch.ones(1), "path": Path("x")}, tmp_path / "code.pth")
    with pytest.raises(CheckpointError, match="could run code"):
        load_model("vit_b", tmp_path / "code.pth", "cpu")


def test_cut_off_file_is_refused_by_name(random_vit_b, tmp_path) -> None:
    (tmp_path / "cut.pth").write_bytes(random_vit_b.read_bytes()[:100_000])
    with pytest.raises(CheckpointError, match=r"cut\.pth.*damaged"):
        load_model("vit_b", tmp_path / "cut.pth", "cpu")


def test_file_without_sam_keys_is_refused(tmp_path) -> None:
    torch.save({"conv.weight": torch.ones(1)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"no SAM checkpoint.*conv\.weight"):
        load_model("auto", tmp_path / "other.pth", "cpu")


def test_published_name_with_another_digest_is_refused(random_vit_b, tmp_path) -> None:
    impostor = tmp_path / "sam_vit_b_01ec64.pth"
    impostor.symlink_to(random_vit_b)
    with pytest.raises(CheckpointError, match=r"SHA-256.*ec2df6273261.*models fetch vit_b"):
        load_model("vit_b", impostor, "cpu")


def test_published_name_with_its_digest_is_accepted_from_the_cache(random_vit_b, tmp_path, monkeypatch) -> None:
    entry = replace(registry.MODELS["vit_b"], file_name="published.pth", sha256=sha256_of_file(random_vit_b))
    monkeypatch.setitem(registry.MODELS, "vit_b", entry)
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    (tmp_path / "published.pth").symlink_to(random_vit_b)
    assert load_model("vit_b", None, "cpu", FAST).digest == entry.sha256


def test_model_that_was_not_fetched_says_how_to_fetch_it(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(CheckpointError, match="miassam models fetch vit_h"):
        load_model("vit_h", None, "cpu")


@pytest.mark.parametrize(("name", "device"), [("vit_x", "cpu"), ("embedded", "tpu"), ("auto", "cpu")])
def test_unknown_names_and_devices_are_usage_errors(name, device) -> None:
    with pytest.raises(UsageError):
        load_model(name, None, device)


START = """
import sys
from MIASSAMLib.sam import load_model
model = load_model("embedded", None, "cpu")
assert "torchvision" not in sys.modules, "torchvision costs a second of every start"
from segment_anything import SamPredictor, sam_model_registry
from segment_anything.modeling import Sam
assert isinstance(model.sam, Sam) and SamPredictor(model.sam) and "vit_b" in sam_model_registry
"""


def test_start_leaves_torchvision_alone_and_segment_anything_whole() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(registry.__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", START], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
