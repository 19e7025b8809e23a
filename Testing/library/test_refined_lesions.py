"""From clusters to lesions: what seeds, what joins, where a lesion ends."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.method.calibrated import Calibration
from MIASSAMLib.method.clusters import Cluster, Stack, find_clusters, group_tail, link_lesions, seed_tail
from MIASSAMLib.method.normal_tail import NormalExtremes

LEVEL = 2.0
NORMAL = NormalExtremes(np.log1p(np.linspace(2, 5, 200)), np.log1p(np.linspace(1, 600, 200)), np.zeros(200))
CALIBRATION = Calibration({}, (0.0, 1.0), LEVEL, NORMAL)


def spot(peak: float, x: int = 100, radius: int = 6) -> np.ndarray:
    rows, columns = np.indices((256, 256))
    distance = np.hypot(columns - x, rows - 100)
    return np.where(distance < radius, peak, 0).astype(np.float32)


def lesions_of(maps: list[np.ndarray], spacing: float = 5.0, sensitivity: float = 0.05) -> list[list[Cluster]]:
    stack = Stack(len(maps), spacing, 1.0)
    return link_lesions(
        find_clusters(maps, [0.0] * len(maps), CALIBRATION), seed_tail(stack, sensitivity), stack, LEVEL
    )


def test_a_strong_group_is_a_lesion_and_common_clusters_are_not():
    quiet = [spot(3.0)] * 4
    assert lesions_of(quiet) == []
    found = lesions_of([spot(0), spot(20), spot(25), spot(20), spot(0)])
    assert [cluster.position for cluster in found[0]] == [1, 2, 3]
    assert len(found) == 1


def test_a_lesion_goes_on_over_common_clusters_that_overlap_it():
    long = [spot(20)] * 10
    positions = [cluster.position for cluster in lesions_of([spot(0), spot(3.5), *long, spot(2.1), spot(0)])[0]]
    assert positions == [*range(1, 12)], "2.1 is hardly above the level and ends the lesion"


def test_a_lesion_goes_on_for_a_tenth_of_its_length_only():
    long = [spot(20)] * 10
    positions = [cluster.position for cluster in lesions_of([spot(3.5), spot(3.5), *long, spot(3.5), spot(3.5)])[0]]
    assert positions == [*range(1, 13)]
    short = lesions_of([spot(3.5), spot(20), spot(25), spot(20), spot(3.5)])[0]
    assert [cluster.position for cluster in short] == [1, 2, 3]


def test_a_lesion_does_not_go_on_beside_itself():
    maps = [spot(3.5, x=180), *[spot(20)] * 10, spot(3.5, x=180)]
    assert [cluster.position for cluster in lesions_of(maps)[0]] == [*range(1, 11)]


def test_two_lesions_do_not_share_a_cluster():
    between = spot(4.0, x=128, radius=40)
    maps = [spot(25, x=100) + spot(25, x=160), between, spot(25, x=100) + spot(25, x=160)]
    found = lesions_of(maps)
    seen = [id(cluster) for group in found for cluster in group]
    assert len(seen) == len(set(seen))


def test_a_speck_on_one_thin_slice_must_be_rarer():
    maps = [spot(0)] * 3 + [spot(5.7)] + [spot(0)] * 3
    assert lesions_of(maps, spacing=5.0)
    assert not lesions_of(maps, spacing=1.0)


def test_a_single_slice_gets_no_credit_for_going_on():
    cluster = Cluster.of(3, spot(5) > 0, 5.0, 0.01)
    assert np.isclose(group_tail([cluster], 10.0), 0.01)
    following = Cluster.of(4, spot(5) > 0, 5.0, 0.01)
    assert np.isclose(group_tail([cluster, following], 10.0), 0.01**1.5)


def test_a_faint_part_on_the_slice_of_a_strong_one_is_left_out():
    bridge = spot(20, x=115, radius=25)
    apart = spot(20, x=100) + spot(5, x=130)
    (lesion,) = lesions_of([bridge, bridge, apart])
    assert [cluster.peak for cluster in lesion] == [20, 20, 20]
    (lesion,) = lesions_of([bridge, bridge, spot(20, x=100) + spot(9, x=130)])
    assert sorted(cluster.peak for cluster in lesion) == [9, 20, 20, 20]


def test_common_clusters_beside_a_large_lesion_are_its_satellites_and_those_far_away_are_not():
    large, small = spot(25, x=60, radius=30), spot(4.5, x=100, radius=4)
    assert len(lesions_of([small, small])) == 0, "by themselves they are common"
    near = lesions_of([large] * 6 + [large + small] * 2)
    assert [cluster.position for cluster in near[1]] == [6, 7]
    assert len(lesions_of([large] * 6 + [large + small])) == 1, "on one slice only"
    far = spot(4.5, x=115, radius=4)
    assert len(lesions_of([large] * 6 + [large + far] * 2)) == 1
    assert len(lesions_of([large] * 6 + [spot(0)] * 3 + [small] * 2)) == 1, "20 mm beyond its end"


def test_a_cluster_is_compared_with_normal_slices_of_its_own_depth():
    depths = np.repeat([0.0, 1.0], 100)
    quiet, loud = np.log1p(np.linspace(2, 3, 100)), np.log1p(np.linspace(6, 9, 100))
    normal = NormalExtremes(np.concatenate([quiet, loud]), np.zeros(200), depths)
    assert normal.tail_probability(7, 0, 0.0) < 0.1 < 0.9 < normal.tail_probability(7, 0, 1.0)
    assert normal.tail_probability(10, 0, 1.0) < 0.4
    assert NormalExtremes(np.zeros(0), np.zeros(0), np.zeros(0)).tail_probability(9, 9, 0.5) == 1


def test_a_cluster_keeps_its_pixels():
    mask = spot(5) > 0
    cluster = Cluster.of(3, mask, 5.0, 0.1)
    np.testing.assert_array_equal(cluster.mask, mask)
    assert cluster.overlaps(cluster)
    assert not cluster.overlaps(Cluster.of(4, spot(5, x=200) > 0, 5.0, 0.1))
