"""After a click, only what was pointed at is outlined."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.method import Finding, PreparedVolume, Preprocessing
from MIASSAMLib.method.paper import keep_pointed
from MIASSAMLib.volume import Volume

PREPARED = PreparedVolume.of(
    Volume(np.arange(2 * 20 * 30, dtype=np.float32).reshape(2, 20, 30), np.diag([2.0, 2.0, 5.0, 1.0])), Preprocessing()
)


def finding(*parts: tuple[slice, slice]) -> Finding:
    mask = np.zeros((20, 30), bool)
    for part in parts:
        mask[part] = True
    return Finding(mask, (0.0, 0.0), (0.0, 0.0), "3", "user", 0.5, float(mask.sum()) * 4, (), (), 0.0)


LESION, SPECK = np.s_[5:10, 5:10], np.s_[15:17, 25:27]


def test_a_speck_away_from_the_point_is_dropped():
    kept = keep_pointed(finding(LESION, SPECK), np.array([[7.0, 7.0]]), PREPARED)
    np.testing.assert_array_equal(kept.mask, finding(LESION).mask)
    assert kept.area_mm2 == 25 * 4


def test_every_part_under_a_point_stays():
    both = finding(LESION, SPECK)
    kept = keep_pointed(both, np.array([[7.0, 7.0], [25.4, 15.6]]), PREPARED)
    np.testing.assert_array_equal(kept.mask, both.mask)


def test_nothing_is_dropped_when_no_point_lies_on_the_mask():
    both = finding(LESION, SPECK)
    for points in (np.array([[0.0, 0.0]]), np.zeros((0, 2))):
        np.testing.assert_array_equal(keep_pointed(both, points, PREPARED).mask, both.mask)
