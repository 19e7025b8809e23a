"""From clusters to lesions: what seeds, what joins."""

from __future__ import annotations

import numpy as np
from MIASSAMLib.config import PRESETS
from MIASSAMLib.method.calibration import Calibration, MapLaw
from MIASSAMLib.method.lesions import Cluster, find_clusters, link_lesions, seed_tail, top_cluster
from MIASSAMLib.method.normal_law import NormalExtremes

REFINED = PRESETS["refined"]
LEVEL = 2.0
NORMAL = NormalExtremes(np.log1p(np.linspace(2, 5, 200)), np.log1p(np.linspace(1, 600, 200)), np.zeros(200), REFINED)
CALIBRATION = Calibration(REFINED)
CALIBRATION.laws_["features"] = MapLaw(0.0, 1.0, LEVEL, NORMAL)


def spot(peak: float, x: int = 100, radius: int = 6) -> np.ndarray:
    rows, columns = np.indices((256, 256))
    distance = np.hypot(columns - x, rows - 100)
    return np.where(distance < radius, peak, 0).astype(np.float32)


def lesions_of(maps: list[np.ndarray], spacing: float = 5.0, sensitivity: float = 0.05) -> list[list[Cluster]]:
    found = [find_clusters(index, values[None], 0.0, CALIBRATION) for index, values in enumerate(maps)]
    clusters = [cluster for one in found for cluster in one.uncommon]
    return link_lesions(clusters, seed_tail(len(maps) * spacing / REFINED.independent_mm, sensitivity))


def test_a_strong_group_is_a_lesion_and_common_clusters_are_not():
    assert lesions_of([spot(3.0)] * 4) == []
    (lesion,) = lesions_of([spot(0), spot(20), spot(25), spot(20), spot(0)])
    assert [cluster.index for cluster in lesion] == [1, 2, 3]


def test_a_lesion_grows_over_clusters_that_are_not_common_and_overlap_it():
    uncommon, common, beside = spot(4.6), spot(2.5), spot(4.6, x=180)
    (lesion,) = lesions_of([common, uncommon, spot(25), uncommon, common, uncommon])
    assert [cluster.index for cluster in lesion] == [1, 2, 3], "what is common ends it, what lies beyond is alone"
    (lesion,) = lesions_of([beside, spot(25), beside])
    assert [cluster.index for cluster in lesion] == [1], "what does not overlap it is not part of it"


def test_two_lesions_are_two_and_what_bridges_them_makes_them_one():
    pair = spot(25, x=100) + spot(25, x=160)
    assert [len(group) for group in lesions_of([pair, pair])] == [2, 2]
    (joined,) = lesions_of([pair, spot(25, x=130, radius=40), pair])
    assert sorted(cluster.index for cluster in joined) == [0, 0, 1, 2, 2]


def test_the_rarest_lesion_comes_first():
    found = lesions_of([spot(12, x=60) + spot(60, x=180)])
    assert [int(np.nonzero(group[0].mask)[1].mean()) for group in found] == [180, 60]


def test_more_slices_are_more_looks_and_ask_for_rarer_seeds():
    assert seed_tail(1, 0.05) == seed_tail(0.5, 0.05)
    assert np.isclose(1 - (1 - seed_tail(10, 0.05)) ** 10, 0.05)
    assert seed_tail(10, 0.2) > seed_tail(10, 0.05)


def test_a_cluster_is_compared_with_normal_slices_of_its_own_depth():
    depths = np.repeat([0.0, 1.0], 100)
    quiet, loud = np.log1p(np.linspace(2, 3, 100)), np.log1p(np.linspace(6, 9, 100))
    normal = NormalExtremes(np.concatenate([quiet, loud]), np.zeros(200), depths, REFINED)
    assert normal.tail_probability(7, 0, 0.0) < 0.1 < 0.9 < normal.tail_probability(7, 0, 1.0)
    assert normal.tail_probability(10, 0, 1.0) < 0.4
    assert NormalExtremes(np.zeros(0), np.zeros(0), np.zeros(0), REFINED).tail_probability(9, 9, 0.5) == 1


def test_a_cluster_keeps_its_pixels():
    (lesion,) = lesions_of([spot(25)])
    np.testing.assert_array_equal(lesion[0].mask, spot(25) > LEVEL)
    assert lesion[0].overlaps(lesion[0])


def test_no_cluster_is_no_lesion():
    assert lesions_of([spot(0)] * 3) == []


def test_the_top_cluster_is_where_the_map_is_highest():
    values = spot(3, x=60) + spot(5, x=180)
    np.testing.assert_array_equal(top_cluster(values, LEVEL, -1.0), spot(5, x=180) > 0)
    np.testing.assert_array_equal(top_cluster(values, 9.0, -1.0), spot(5, x=180) > 0)


def test_a_slice_scores_by_its_rarest_cluster_and_none_scores_nothing():
    found = find_clusters(3, (spot(60, x=60) + spot(2.5, x=180))[None], 0.0, CALIBRATION)
    (rare,) = found.uncommon
    assert rare.index == 3 and found.tail == rare.tail < 0.01 and found.score > 2
    nothing = find_clusters(3, spot(0)[None], 0.0, CALIBRATION)
    assert (nothing.tail, nothing.uncommon, nothing.score) == (1.0, (), 0.0)
