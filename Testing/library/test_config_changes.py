"""Presets with changes: `refined:zoom=off,mask=3`."""

from __future__ import annotations

import dataclasses

import pytest
from MIASSAMLib.config import PRESETS, Config, changed, preset
from MIASSAMLib.errors import UsageError


def test_changes_change_what_they_name_and_nothing_else():
    config = preset("refined:zoom=off,feedback_rounds=1,mask=3,foreground_only=off,fusion_weights=1+0.5")
    assert (config.zoom, config.feedback_rounds, config.mask) == ((), 1, "3")
    assert (config.foreground_only, config.fusion_weights) == (False, (1.0, 0.5))
    assert config.preset == "refined:zoom=off,feedback_rounds=1,mask=3,foreground_only=off,fusion_weights=1+0.5"
    back = dataclasses.replace(
        config, **{name: getattr(PRESETS["refined"], name)
                   for name in ("preset", "zoom", "feedback_rounds", "mask", "foreground_only", "fusion_weights")}
    )  # fmt: skip
    assert back == PRESETS["refined"]


def test_a_preset_without_changes_is_itself():
    assert preset("paper") is not None
    assert preset("paper") == PRESETS["paper"]
    assert changed(preset("refined"), "contrast=flair").contrast == "flair"
    assert changed(preset("refined:contrast=flair"), "contrast=none").contrast == ""


def test_a_config_with_changes_survives_its_file():
    config = preset("refined:zoom=1.5+4,per_position=on")
    assert Config.from_dict(config.to_dict()) == config


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("best", "no preset 'best'"),
        ("refined:zom=off", "changes no field"),
        ("refined:zoom", "changes no field"),
        ("refined:preset=paper", "changes no field"),
        ("refined:seed=many", "does not fit"),
        ("refined:foreground_only=maybe", "does not fit"),
        ("refined:zoom=wide", "does not fit"),
        ("refined:mask=4", "does not fit"),
        ("refined:contrast=t1", "does not fit"),
        ("paper:contrast=flair", "needs a calibrated map"),
        ("paper:axis_sigma_mm=5", "needs a calibrated map"),
    ],
)
def test_a_bad_change_says_what_is_wrong(name, words):
    with pytest.raises(UsageError, match=words):
        preset(name)
