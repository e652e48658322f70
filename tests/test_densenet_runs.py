"""The stored experiments of chapter 8 are those of their scripts, and hold what it says of them."""

from statistics import fmean

import pytest
import torch

from cnnlib import book
from experiments import densenet_memory, densenet_reuse, densenet_wiring
from experiments.common import SEEDS


@pytest.fixture(scope="module")
def scripts():
    before = torch.get_default_dtype()
    wiring = [
        densenet_wiring.arm(name, densenet_wiring.RECIPE) for name in densenet_wiring.NETWORKS
    ]
    yield {
        "densenet_wiring": wiring,
        "densenet_reuse": densenet_reuse.arms(),
        "densenet_memory": densenet_memory.arms(),
    }
    torch.set_default_dtype(before)


@pytest.mark.parametrize("name", ["densenet_wiring", "densenet_reuse", "densenet_memory"])
def test_the_stored_arms_are_those_of_the_script(scripts, name):
    stored = book.stored_runs(name).arms
    assert [arm.name for arm in stored] == [arm["name"] for arm in scripts[name]]
    for arm, described in zip(stored, scripts[name], strict=True):
        assert arm.values("seed") == list(SEEDS)
        assert arm.options == described["options"] and arm.recipe == described["recipe"]
        assert arm.parameters == described["parameters"]
        extra = {k: v for k, v in described.items() if k in ("macs", "kept_bytes", "connections")}
        assert arm.more == extra


def test_cutting_costs_as_many_numbers_as_there_are_connections():
    arm = book.stored_runs("densenet_reuse")["dense"]
    places = arm.more["connections"]
    for key in ("rise", "initial", "trained", "moved"):
        assert all(len(values) == len(places) == 45 for values in arm.values(key))
    assert all(len(values) == 15 for values in arm.values("rise_per_k"))
    assert [run[-1] for run in arm.values("up_to")] == arm.values("test_error")


def test_what_came_into_a_block_is_missed_most_with_every_seed():
    arm = book.stored_runs("densenet_reuse")["dense"]
    places = arm.more["connections"]
    for rises in arm.values("rise"):
        for block in (1, 2, 3):
            by_source = [
                fmean(r for r, (b, s, _) in zip(rises, places, strict=True) if (b, s) == (block, n))
                for n in range(5)
            ]
            assert by_source[0] == max(by_source) > 1.3 * by_source[1]


def test_dense_wires_beat_a_chain_of_the_same_size_and_a_residual_network_beats_both():
    errors = {
        arm.name: arm.values("test_error") for arm in book.stored_runs("densenet_wiring").arms
    }
    assert max(errors["dense"]) < min(errors["chain, wide"])
    assert max(errors["chain, wide"]) + 0.1 < min(errors["chain, narrow"])
    assert fmean(errors["residual"]) < fmean(errors["dense"])
    assert fmean(errors["residual"]) < fmean(errors["dense-BC"])


def test_recomputing_takes_longer_and_writing_in_place_less_long():
    ways = [arm.values("seconds") for arm in book.stored_runs("densenet_memory").arms]
    kept, twice, copying, in_place = ways
    assert min(twice) > max(kept)
    assert fmean(in_place) < fmean(copying)


def test_a_chain_reads_only_what_the_layer_before_has_written():
    network = densenet_wiring.chain(5).eval()
    layers = [part for part in network if isinstance(part, densenet_wiring.DenseLayer)]
    assert [layer.norm2.num_features for layer in layers] == [16, *[5] * 11]
    assert network(torch.zeros(2, 1, 14, 14, dtype=torch.get_default_dtype())).shape == (2, 10)
