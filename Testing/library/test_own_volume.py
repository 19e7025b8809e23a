"""A volume as its own reference: its mirror plane, and what is unusual in it, whatever its storage order."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from MIASSAMLib.api import open_segmenter
from MIASSAMLib.config import PRESETS
from MIASSAMLib.errors import UsageError
from MIASSAMLib.method import Segmenter, UserPrompts
from MIASSAMLib.method.features import EncodedSlice
from MIASSAMLib.method.lesions import find_clusters
from MIASSAMLib.method.own_volume import OwnVolume
from MIASSAMLib.method.prepare import PreparedVolume, Preprocessing
from MIASSAMLib.phantoms import make_phantom
from MIASSAMLib.volume import Volume, find_mirror

CONFIG = PRESETS["refined"]
SPACING_IJK = np.array([3.0, 3.0, 6.0])
LESION_RAS = np.array([30.0, 5.0, 6.0])
SHAPE_KJI = (15, 72, 60)


def _head(tilt=(0.0, 0.0), offset_mm=0.0, lesion=True):
    """A textured symmetric ellipsoid, tilted and shifted, with a bright ball on one side."""
    ijk_to_ras = np.diag([*SPACING_IJK, 1.0])
    ijk_to_ras[:3, 3] = -SPACING_IJK * (np.array(SHAPE_KJI[::-1]) - 1) / 2
    k, j, i = np.indices(SHAPE_KJI)
    ras = np.stack([i, j, k], -1) @ ijk_to_ras[:3, :3] + ijk_to_ras[:3, 3]
    normal = np.array([1.0, *tilt]) / np.linalg.norm([1.0, *tilt])
    side = ras @ normal - offset_mm
    along = ras - np.outer(side.ravel(), normal).reshape(ras.shape)
    waves = np.cos(side / 9) + np.cos(along[..., 1] / 11) + np.sin(along[..., 2] / 8 + np.abs(side) / 20)
    inside = (side / 70) ** 2 + (along[..., 1] / 90) ** 2 + (along[..., 2] / 40) ** 2 < 1
    ball = ((ras - LESION_RAS) ** 2).sum(-1) < 14**2
    noise = np.random.default_rng(0).normal(0, 2, SHAPE_KJI)
    voxels = np.where(inside, 100 + 10 * waves + noise + 40 * (ball & lesion), 0)
    return Volume(voxels.astype(np.float32), ijk_to_ras, "head", "mri")


def _flipped(volume):
    """The same patient with every storage axis the other way round."""
    flip = np.diag([-1.0, -1.0, -1.0, 1.0])
    flip[:3, 3] = np.array(volume.shape_kji[::-1]) - 1
    return replace(volume, voxels_kji=volume.voxels_kji[::-1, ::-1, ::-1].copy(), ijk_to_ras=volume.ijk_to_ras @ flip)


def _moved(volume):
    """The same scan in an oblique, shifted patient frame, and the matrix that moved it."""
    cos, sin = np.cos(0.12), np.sin(0.12)
    matrix = np.array([[cos, -sin, 0, 12.0], [sin, cos, 0, -7.0], [0, 0, 1, 30.0], [0, 0, 0, 1]])
    return replace(volume, ijk_to_ras=matrix @ volume.ijk_to_ras), matrix


def _maps(volume, config=CONFIG):
    """Return the prepared volume, its judge, and its maps (S, 256, 256)."""
    prepared = PreparedVolume.of(volume, Preprocessing(), config)
    own = OwnVolume(prepared, config)
    slices = [EncodedSlice(k, torch.zeros(1), {}, prepared.foreground_map(k)) for k in range(prepared.plane.n_slices)]
    return prepared, own, np.stack([own.maps(one)[0] for one in slices])


def _rarest(volume, config=CONFIG):
    prepared, own, maps = _maps(volume, config)
    return min(find_clusters(k, values[None], prepared.depth(k), own).tail for k, values in enumerate(maps))


@pytest.fixture(scope="module")
def usual():
    """The maps of a head, and how rare the rarest thing in it is."""
    return _maps(_head())[2], _rarest(_head())


@pytest.mark.parametrize("tilt, offset_mm", [((0.0, 0.0), 0.0), ((0.12, -0.1), 9.0), ((-0.2, 0.05), -12.0)])
def test_the_mirror_plane_of_a_tilted_head_is_found_despite_a_lesion(tilt, offset_mm):
    volume = _head(tilt, offset_mm)
    plane = find_mirror(volume, volume.voxels_kji > 0)
    normal = np.array([1.0, *tilt]) / np.linalg.norm([1.0, *tilt])
    assert np.degrees(np.arccos(min(1.0, plane.normal_ras @ normal))) < 1.5
    assert abs(plane.offset_mm - offset_mm) < 1.5


def test_mirroring_twice_changes_nothing():
    volume = _head((0.1, 0.1), 5.0)
    matrix = find_mirror(volume, volume.voxels_kji > 0).ras_to_mirrored
    np.testing.assert_allclose(matrix @ matrix, np.eye(4), atol=1e-9)


def test_an_empty_foreground_has_a_plane_all_the_same():
    volume = _head()
    assert find_mirror(volume, np.zeros(SHAPE_KJI, bool)).agreement == 0


def test_a_flipped_copy_has_the_same_mirror_plane():
    volume = _head((0.1, -0.05), 6.0)
    one, other = (find_mirror(v, v.voxels_kji > 0) for v in (volume, _flipped(volume)))
    np.testing.assert_allclose(one.normal_ras, other.normal_ras, atol=0.01)
    assert abs(one.offset_mm - other.offset_mm) < 0.5


def test_the_highest_value_lies_in_the_lesion_of_flipped_and_oblique_copies():
    volume = _head()
    oblique, matrix = _moved(volume)
    lesion_oblique = matrix[:3, :3] @ LESION_RAS + matrix[:3, 3]
    for copy, lesion in ((volume, LESION_RAS), (_flipped(volume), LESION_RAS), (oblique, lesion_oblique)):
        prepared, _, maps = _maps(copy)
        index, y, x = np.unravel_index(int(np.argmax(maps)), maps.shape)
        native = prepared.frame.to_native_xy((np.array([x, y]) + 0.5) * 4 - 0.5)
        found = copy.ijk_to_ras_point(prepared.plane.ijk(index, native))
        assert np.linalg.norm(found - lesion) < 16


def test_of_two_unlike_halves_the_rarer_one_is_marked():
    prepared, own, maps = _maps(_head())
    assert own.mirror_.normal_ras[0] > 0.99
    k = int(np.argmax(maps.max((1, 2))))
    places = [prepared.volume.ras_to_ijk_point(LESION_RAS * (side, 1, 1)) for side in (1, -1)]
    xys = [prepared.frame.to_frame_xy(prepared.plane.slice_xy(ijk)[1]) for ijk in places]
    here, there = (maps[k][tuple(np.round((xy + 0.5) / 4 - 0.5).astype(int)[::-1])] for xy in xys)
    assert here > CONFIG.own_level > there


@pytest.mark.parametrize(
    "name, value",
    [
        ("own_smooth_cells", 3.0),
        ("own_rare_share", 0.5),
        ("own_common_share", 0.99),
        ("seed", 7),
        ("own_apart_mm", 12.0),
        ("own_near", (6.0, 1.0)),
        ("own_near", (0.0, 3.0)),
        ("own_sample", 100),
        ("own_first_cells", 9.0),
    ],
)  # fmt: skip
def test_every_field_of_the_map_counts(name, value, usual):
    other = _maps(_head(), replace(CONFIG, **{name: value}))[2]
    assert np.abs(other - usual[0]).max() > 0.01


@pytest.mark.parametrize("name, value", [("own_level", 1.0), ("own_decay", 1.0), ("own_least_mm2", 1e5)])
def test_every_field_of_the_tail_counts(name, value, usual):
    assert _rarest(_head(), replace(CONFIG, **{name: value})) != pytest.approx(usual[1], rel=0.01)


def test_a_volume_without_foreground_has_an_empty_map():
    empty = replace(_head(), voxels_kji=np.zeros(SHAPE_KJI, np.float32))
    assert _maps(empty)[2].max() <= 0


@pytest.fixture(scope="module")
def run(embedded_model):
    """A phantom segmented without a bank."""
    segmenter, phantom = open_segmenter(None, embedded_model), make_phantom("brain", 800, 1)
    reading = segmenter.open(phantom.volume)
    return segmenter, phantom, reading, segmenter.segment(reading)


def first_finding(result):
    return next((item.index, item.findings[0]) for item in result.slices if item.findings)


def test_a_phantom_is_segmented_without_a_bank_and_the_result_says_so(run):
    _, phantom, _, result = run
    truth = phantom.lesion_labels_kji > 0
    assert (result.labels_kji[truth] > 0).mean() > 0.5
    assert any("no bank" in note for note in result.notes)
    assert "own tissue" in result.heat_unit
    assert all(one.tail_probability is None for one in result.slices)


@pytest.mark.parametrize("kind", ["brain", "liver", "retina"])
def test_a_normal_phantom_stays_empty_without_a_bank(embedded_model, kind):
    assert open_segmenter(None, embedded_model).segment(make_phantom(kind, 701).volume).is_normal


def test_what_needs_a_bank_says_so(embedded_model):
    volume = make_phantom("brain", 701).volume
    for config in (PRESETS["paper"], replace(CONFIG, contrast="flair")):
        with pytest.raises(UsageError, match="bank"):
            Segmenter(embedded_model, None, config).segment(volume)


def test_the_runs_own_point_gives_the_runs_own_mask(run):
    segmenter, _, reading, result = run
    index, own = first_finding(result)
    np.testing.assert_array_equal(segmenter.correct(reading, index, UserPrompts.inside_at(own.cog_xy)).mask, own.mask)


def test_a_result_without_a_bank_is_corrected_on_its_own_map(run):
    """In a new process nothing is left of the run's map: it is measured again, and gives the run's own mask."""
    segmenter, phantom, _, result = run
    index, own = first_finding(result)
    again = segmenter.open(phantom.volume)
    segmenter.compare_with_itself(again)
    point = UserPrompts.inside_at(own.cog_xy)
    np.testing.assert_array_equal(segmenter.correct(again, index, point).mask, own.mask)
    alone = segmenter.correct(segmenter.open(phantom.volume), index, point)
    assert alone.agreement is None and own.agreement is not None, "nothing was compared where nothing was searched"
