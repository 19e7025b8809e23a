"""Presets with changes: `refined:zoom=off,mask=3`."""

from __future__ import annotations

import dataclasses

import pytest
from MIASSAMLib.config import PRESETS, changed, preset, read_config
from MIASSAMLib.errors import UsageError


def test_changes_change_what_they_name_and_nothing_else():
    config = preset("refined:zoom=off,least_inside=0.2,mask=3,half_cell_shift=on,fusion_weights=1+0.5")
    assert (config.zoom, config.least_inside, config.mask) == ((), 0.2, "3")
    assert (config.half_cell_shift, config.fusion_weights) == (True, (1.0, 0.5))
    assert config.preset == "refined:zoom=off,least_inside=0.2,mask=3,half_cell_shift=on,fusion_weights=1+0.5"
    back = dataclasses.replace(
        config, **{name: getattr(PRESETS["refined"], name)
                   for name in ("preset", "zoom", "least_inside", "mask", "half_cell_shift", "fusion_weights")}
    )  # fmt: skip
    assert back == PRESETS["refined"]


def test_a_preset_without_changes_is_itself():
    assert preset("paper") is not None
    assert preset("paper") == PRESETS["paper"]
    assert changed(preset("refined"), "contrast=flair").contrast == "flair"
    assert changed(preset("refined:contrast=flair"), "contrast=none").contrast == ""


def test_a_config_with_changes_survives_its_file():
    config = preset("refined:zoom=1.5+4,per_position=on")
    assert read_config(config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("best", "no preset 'best'"),
        ("refined:zom=off", "changes no field"),
        ("refined:zoom", "changes no field"),
        ("refined:preset=paper", "changes no field"),
        ("refined:seed=many", "does not fit"),
        ("refined:half_cell_shift=maybe", "does not fit"),
        ("refined:zoom=wide", "does not fit"),
        ("refined:mask=4", "does not fit"),
        ("refined:contrast=t1", "does not fit"),
        ("paper:contrast=flair", "changes no field that the preset paper uses"),
        ("paper:axis_sigma_mm=5", "changes no field that the preset paper uses"),
        ("refined:distance=squared_l2", "changes no field that the preset refined uses"),
        ("refined:dense_prompt=on", "changes no field that the preset refined uses"),
        ("refined:rim_px=0", "rim of 1 px or more"),
        ("refined:stride=1", "grid of 64 x 64 patches"),
        ("refined:features=intensity", "2 fusion weights came for the 1 feature kinds"),
        ("refined:features=embedding+colour", "'colour'. are unknown"),
        ("paper:features=embedding+intensity", "compares embeddings only"),
    ],
)
def test_a_bad_change_says_what_is_wrong(name, words):
    with pytest.raises(UsageError, match=words):
        preset(name)


def test_a_config_of_another_version_says_what_to_do():
    data = preset("refined").to_dict()
    with pytest.raises(UsageError, match="differs from this version's in feedback_rounds.*build the bank again"):
        read_config({**data, "feedback_rounds": 3})
    data.pop("zoom")
    with pytest.raises(UsageError, match="differs from this version's in zoom"):
        read_config(data)


@pytest.mark.parametrize(
    ("key", "value"),
    [("gamma", "x"), ("gamma", float("nan")), ("gamma", True), ("mask", "7"), ("zoom", 2.0), ("zoom", ["x"]),
     ("window_px", 5.0), ("window_px", 1 << 80), ("features", [1]), ("contrast", None)],
)  # fmt: skip
def test_bug_a_config_with_values_of_another_kind_was_read(key, value):
    with pytest.raises(UsageError, match=f"cannot be in {key}: .*build the bank again"):
        read_config({**PRESETS["refined"].to_dict(), key: value})
