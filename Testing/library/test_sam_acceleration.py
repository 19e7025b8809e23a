"""The accelerated encoder and decoder give what segment-anything gives."""

import numpy as np
import pytest
import torch
from MIASSAMLib.protocols import Prompts
from MIASSAMLib.sam import acceleration, load_model, registry
from MIASSAMLib.sam.acceleration import embedding_cosine, probe_raster
from MIASSAMLib.sam.device import RunOptions
from MIASSAMLib.sam.fused_vit import FusedBlock, accelerate_vit, attend_in_chunks
from segment_anything.modeling import ImageEncoderViT
from torch import nn
from torch.nn import functional as F

PLAIN = RunOptions(precision="float32", accelerate=False)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def small_vit(seed: int = 0) -> ImageEncoderViT:
    """A ViT with windows that need padding (16 tokens, window 7), two heads, one global block."""
    torch.manual_seed(seed)
    encoder = ImageEncoderViT(
        img_size=256,
        embed_dim=64,
        depth=3,
        num_heads=2,
        norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
        use_rel_pos=True,
        window_size=7,
        global_attn_indexes=(1,),
    )
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            nn.init.normal_(parameter, std=0.5)
        if "bias" in name:
            nn.init.normal_(parameter, std=0.2)
    return encoder.eval().requires_grad_(False)


def test_fused_blocks_keep_class_family_weights_and_float32_numbers() -> None:
    encoder, images = small_vit(), torch.randn(2, 3, 256, 256)
    expected, weights = encoder(images), {key: value.clone() for key, value in encoder.state_dict().items()}
    accelerate_vit(encoder, torch.float32)
    assert all(isinstance(block, FusedBlock) for block in encoder.blocks)
    assert all(torch.equal(value, weights[key]) for key, value in encoder.state_dict().items())
    torch.testing.assert_close(encoder(images), expected, atol=2e-5, rtol=1e-4)


def test_relative_positions_matter_in_that_comparison() -> None:
    encoder, images = small_vit(), torch.randn(1, 3, 256, 256)
    expected = encoder(images)
    accelerate_vit(encoder, torch.float32)
    for block in encoder.blocks:
        block._table_h = block._table_h.flip(0)
    assert (encoder(images) - expected).abs().max() > 1e-2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_reduced_precision_stays_close(dtype) -> None:
    encoder, images = small_vit(), torch.randn(1, 3, 256, 256)
    expected = encoder(images)
    accelerate_vit(encoder, dtype)
    assert embedding_cosine(encoder(images), expected) > 0.9995


@pytest.mark.parametrize("count", [49, 1024])
def test_chunked_attention_is_scaled_dot_product_attention(count) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(5, count, 32), torch.randn(5, count, 32), torch.randn(5, count, 16)
    expected = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    torch.testing.assert_close(attend_in_chunks(query, key, value), expected, atol=1e-5, rtol=1e-4)


def test_embedded_model_accelerated_gives_the_plain_embedding_and_masks(own_cache) -> None:
    plain, fast = load_model("embedded", None, "cpu", PLAIN), load_model("embedded", None, "cpu")
    rasters = np.concatenate([probe_raster(256), probe_raster(256)[:, ::-1]])
    expected, found = plain.encode(rasters), fast.encode(rasters)
    assert found.dtype == torch.float32 and embedding_cosine(found, expected) > 0.9999
    prompts = Prompts(np.array([[[600.0, 460.0]], [[512.0, 512.0]]], np.float32), np.ones((2, 1), np.int64))
    first, second = plain.decode(expected[0], prompts), fast.decode(found[0], prompts)
    one, other = first.low_res_logits > 0, second.low_res_logits > 0
    assert 2 * (one & other).sum() / (one.sum() + other.sum()) > 0.99


def test_embedded_float32_acceleration_is_exact_to_rounding(own_cache) -> None:
    plain = load_model("embedded", None, "cpu", PLAIN)
    fast = load_model("embedded", None, "cpu", RunOptions(precision="float32"))
    torch.testing.assert_close(fast.encode(probe_raster(256)), plain.encode(probe_raster(256)), atol=1e-3, rtol=1e-3)


def test_precision_that_fails_the_check_is_given_up_and_remembered(own_cache, monkeypatch, caplog) -> None:
    monkeypatch.setattr(acceleration, "choose_precision", lambda device, word: torch.bfloat16)
    monkeypatch.setattr(acceleration, "LEAST_COSINE", 1.1)
    plain, careful = load_model("embedded", None, "cpu", PLAIN), load_model("embedded", None, "cpu")
    assert careful.precision == "float32" and "float32 is used" in caplog.text
    torch.testing.assert_close(
        careful.encode(probe_raster(256)), plain.encode(probe_raster(256)), atol=1e-3, rtol=1e-3
    )
    assert len(list((own_cache / "precision").glob("*.json"))) == 1


def test_precision_check_runs_once_per_machine(own_cache) -> None:
    key, measured = {"digest": "0" * 64, "precision": "bfloat16-cpu", "chip": "x", "torch": "y"}, []
    measure = lambda: measured.append(1) or 0.99995  # noqa: E731
    assert acceleration.is_precision_good(key, measure) and acceleration.is_precision_good(key, measure)
    assert not acceleration.is_precision_good({**key, "torch": "z"}, lambda: 0.9)
    assert len(measured) == 1
