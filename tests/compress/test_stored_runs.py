"""The stored runs of chapter 10 fit the networks and the rules that they were made by."""

import pytest
import torch

from cnnlib import book, compress
from cnnlib.inspection import count_macs, count_parameters
from experiments import deep_compression, squeezenet_parts


@pytest.fixture(scope="module", params=["AlexNet", "fire"])
def arm(request):
    return book.stored_runs("deep_compression")[request.param]


def test_the_arms_are_the_networks_that_the_scripts_build():
    for name, script in (
        ("squeezenet_parts", squeezenet_parts),
        ("deep_compression", deep_compression),
    ):
        stored = book.stored_runs(name).arms
        assert [arm.name for arm in stored] == [arm["name"] for arm in script.arms()]
        for arm, made in zip(stored, script.arms(), strict=True):
            assert (arm.options, arm.recipe) == (made["options"], made["recipe"])
            model = squeezenet_parts.build(arm.more["network"], arm.options)
            assert count_parameters(model) == arm.parameters
            assert count_macs(model, squeezenet_parts.SHAPE) == arm.more["macs"]
            assert [run["seed"] for run in arm.runs] == [0, 1, 2, 3, 4]


def test_as_many_weights_are_left_as_the_rule_says(arm):
    for pruning in arm.runs[0]["prunings"]:
        model = squeezenet_parts.build(arm.more["network"], arm.options)
        assert pruning["keep"] == deep_compression.keeping(arm.name, pruning["level"])
        compress.prune(model, pruning["keep"])
        assert sum(row.kept for row in compress.report(model)) == pruning["kept"]


def test_the_file_before_anything_is_done_has_four_bytes_for_each_number(arm):
    model = squeezenet_parts.build(arm.more["network"], arm.options).to(torch.float32)
    size = compress.measure(model, coding="dense")
    assert all(run["dense"] == size.total for run in arm.runs)
    assert size.values == 4 * sum(row.weights for row in compress.report(model))


def test_more_bits_and_more_weights_take_more_bytes(arm):
    for run in arm.runs:
        totals = [
            [sum(cell["size"].values()) for cell in pruning["shared"]]
            for pruning in run["prunings"]
        ]
        assert all(row == sorted(row) for row in totals)
        enough = deep_compression.BITS.index(4)  # with fewer, gaps cost more than codes
        for column in list(zip(*totals, strict=True))[enough:]:
            assert list(column) == sorted(column, reverse=True)
        for pruning in run["prunings"]:
            bits = [cell["bits"] for cell in pruning["shared"]]
            assert bits == list(deep_compression.BITS)
            for cell in pruning["shared"]:  # Huffman's code never loses but its table
                assert sum(cell["size"].values()) <= cell["plain"] + cell["size"]["tables"]


def test_training_again_is_what_makes_strong_pruning_possible():
    alexnet = book.stored_runs("deep_compression")["AlexNet"]
    for run in alexnet.runs:
        [pruning] = [p for p in run["prunings"] if p["level"] == deep_compression.LIVE]
        assert pruning["test_error"] < pruning["cut_error"] - 0.1
