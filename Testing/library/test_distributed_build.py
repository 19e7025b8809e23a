"""A cluster of processes gives what one process gives, even when a worker dies."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from library.distributed_helpers import brain_sources
from MIASSAMLib.config import preset
from MIASSAMLib.distributed import DaskEncoder, ModelRecipe, connect, map_in_order
from MIASSAMLib.errors import BankError, UsageError
from MIASSAMLib.method import BuildOptions, build_bank
from MIASSAMLib.sam import load_model

N_VOLUMES = 4


@pytest.fixture(scope="module")
def cluster():
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with connect("local:2") as client:
        yield client


def test_a_build_on_a_cluster_that_loses_a_worker_is_identical_to_one_process(tmp_path, cluster):
    model, config, options = load_model("embedded", device="cpu"), preset("refined"), BuildOptions()
    alone = build_bank(tmp_path / "alone.bank", brain_sources(N_VOLUMES), model, config, options)
    marker = tmp_path / "killed"
    recipe = ModelRecipe("embedded", None, "cpu", model.digest)
    encoder = DaskEncoder(cluster, recipe, config, options.preprocessing)
    sources = brain_sources(N_VOLUMES, deadly=2, marker=marker)
    together = build_bank(tmp_path / "together.bank", sources, model, config, options, encoder=encoder)
    assert marker.exists(), "no worker was killed"
    assert together.manifest.sources == alone.manifest.sources
    assert together.manifest.n_slices > N_VOLUMES
    for path in (tmp_path / "alone.bank").iterdir():
        assert path.read_bytes() == (tmp_path / "together.bank" / path.name).read_bytes(), path.name


def test_a_cluster_resumes_what_one_process_began(tmp_path, cluster):
    model, config, options = load_model("embedded", device="cpu"), preset("paper"), BuildOptions()
    build_bank(tmp_path / "alone.bank", brain_sources(3), model, config, options)

    def stop(stage, done, total):
        if stage.startswith("volume 2/3"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_bank(tmp_path / "a.bank", brain_sources(3), model, config, options, stop)
    encoder = DaskEncoder(cluster, ModelRecipe("embedded", None, "cpu", model.digest), config, options.preprocessing)
    build_bank(tmp_path / "a.bank", brain_sources(3), model, config, options, encoder=encoder)
    for path in (tmp_path / "alone.bank").iterdir():
        assert path.read_bytes() == (tmp_path / "a.bank" / path.name).read_bytes(), path.name


def test_a_worker_with_another_checkpoint_is_refused(tmp_path, cluster):
    config, options = preset("paper"), BuildOptions()
    encoder = DaskEncoder(cluster, ModelRecipe("embedded", None, "cpu", "0" * 64), config, options.preprocessing)
    with pytest.raises(Exception, match="a worker's embedded is .* and the build's is 000000"):
        list(encoder.encode(brain_sources(1), lambda name: frozenset()))


def test_results_come_in_order_and_never_pile_up(cluster):
    drawn = []

    def items():
        for number in range(20):
            drawn.append(number)
            yield number

    results = map_in_order(cluster, np.square, items())
    assert next(results) == 0
    assert len(drawn) <= 5
    assert list(results) == [number**2 for number in range(1, 20)]


@pytest.mark.parametrize(
    ("address", "words"), [("local:none", "malformed"), ("tcp://127.0.0.1:9", "no Dask scheduler")]
)
def test_an_address_that_leads_nowhere_is_named(monkeypatch, address, words):
    monkeypatch.setattr("MIASSAMLib.distributed.cluster._TIMEOUT_S", 1)
    with pytest.raises(UsageError, match=words), connect(address):
        raise BankError("never reached")
